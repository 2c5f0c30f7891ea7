//! Searching a registry by the words of its index: `GET /v1/search`, the one part of the old protocol that clients still use.

use serde::{Deserialize, Serialize};

use crate::auth::{basic, form_encode};
use crate::repository::read_limited;
use crate::{Client, Credentials, Error, endpoints};

/// No honest answer with a hundred repositories is larger.
const ANSWER_MAX: u64 = 4 << 20;
/// Where Docker Hub answers; its repositories are elsewhere.
const HUB_INDEX: &str = "https://index.docker.io";

/// One repository that was found, in the words of the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// How many users liked it.
    pub star_count: i64,
    /// Whether it is one of Docker's own.
    pub is_official: bool,
    /// The repository.
    pub name: String,
    /// Whether the registry built it; nobody does any more.
    pub is_automated: bool,
    /// What it is.
    pub description: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Found>,
}

impl Client {
    /// Searches the registry `domain` for `term`; `limit` repositories at most.
    pub async fn search(
        &self,
        domain: &str,
        term: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Found>, Error> {
        let mut endpoints = endpoints(self.options(), domain);
        endpoints.retain(|endpoint| !endpoint.mirror);
        if domain == types::reference::DEFAULT_DOMAIN {
            endpoints.iter_mut().for_each(|endpoint| HUB_INDEX.clone_into(&mut endpoint.url));
        }
        let mut last = None;
        for endpoint in &endpoints {
            let query = form_encode(&[("q", term), ("n", &limit.to_string())]);
            let url = format!("{}/v1/search?{query}", endpoint.url);
            let mut request = self.http(endpoint)?.get(&url);
            if !credentials.username.is_empty() {
                request = request.header(http::header::AUTHORIZATION, basic(credentials));
            }
            match request.send().await {
                Err(error) => last = Some(Error::network("Get", &url, &error)),
                Ok(answer) if !answer.status().is_success() => return Err(Error::Status(answer.status())),
                Ok(answer) => {
                    let status = answer.status();
                    let body = read_limited(answer, "Get", ANSWER_MAX, || "search".to_owned()).await?;
                    let unreadable = |error: serde_json::Error| Error::Body {
                        status: status.as_u16(),
                        cause: error.to_string(),
                        body: String::from_utf8_lossy(&body).chars().take(200).collect(),
                    };
                    let answer: Answer = serde_json::from_slice(&body).map_err(unreadable)?;
                    return Ok(answer.results);
                }
            }
        }
        Err(last.unwrap_or(Error::Status(http::StatusCode::NOT_FOUND)))
    }
}

//! Answers to challenges: Basic, and the token service (distribution's `spec/auth/token.md` and `oauth.md`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::HeaderValue;
use serde::Deserialize;

use crate::challenge::{self, Challenge};
use crate::client::Shared;
use crate::endpoint::Endpoint;
use crate::repository::read_limited;
use crate::{Credentials, Error};

/// Entries kept before the caches are emptied: a bound, not a working set.
const CACHE_MAX: usize = 1024;
const TOKEN_BODY_MAX: u64 = 1 << 20;
/// What a token lives when the server does not say (token.md: 60 seconds).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// What token services know Docker's clients by.
const CLIENT_ID: &str = "docker";
/// A token this near its end is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// What we know of how registries want to be asked.
#[derive(Default)]
pub(crate) struct Authority {
    challenges: Mutex<HashMap<String, Challenge>>,
    tokens: Mutex<HashMap<TokenKey, Token>>,
    /// Refresh tokens that came with the answers to logins, by user.
    refresh: Mutex<HashMap<u64, String>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    realm: String,
    service: String,
    scope: String,
    user: u64,
}

#[derive(Clone)]
struct Token {
    text: String,
    expires: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
    /// Good for more tokens: what a login keeps in place of the password.
    #[serde(default)]
    refresh_token: String,
}

impl Authority {
    fn challenges(&self) -> MutexGuard<'_, HashMap<String, Challenge>> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<TokenKey, Token>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the challenge of a 401. False if it holds nothing that we could answer.
    pub(crate) fn learn(&self, endpoint: &Endpoint, header: &str, credentials: &Credentials) -> bool {
        let offered = challenge::parse(header);
        let answerable = |c: &&Challenge| match c.scheme.as_str() {
            "bearer" => !c.parameter("realm").is_empty(),
            "basic" => !credentials.username.is_empty(),
            _ => false,
        };
        let Some(chosen) = offered.iter().find(answerable) else { return false };
        let mut challenges = self.challenges();
        if challenges.len() >= CACHE_MAX {
            challenges.clear();
        }
        challenges.insert(endpoint.url.clone(), chosen.clone());
        true
    }

    /// The refresh token that a login of this user brought. It is given once.
    pub(crate) fn take_refresh_token(&self, credentials: &Credentials) -> Option<String> {
        let mut refresh = self.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        refresh.remove(&credentials.cache_key())
    }

    /// Forgets the tokens for `scope`, because the registry did not take them.
    pub(crate) fn forget(&self, scope: &str) {
        self.tokens().retain(|key, _| key.scope != scope);
    }
}

impl Shared {
    /// The `Authorization` header for `scope` at `endpoint`, as far as we know that one is wanted.
    pub(crate) async fn authorization(
        &self,
        endpoint: &Endpoint,
        scope: &str,
        credentials: &Credentials,
    ) -> Result<Option<HeaderValue>, Error> {
        if !credentials.registry_token.is_empty() {
            return Ok(secret_header(format!("Bearer {}", credentials.registry_token)));
        }
        let Some(challenge) = self.authority.challenges().get(&endpoint.url).cloned() else {
            return Ok(None);
        };
        match challenge.scheme.as_str() {
            "basic" if !credentials.username.is_empty() => Ok(secret_header(basic(credentials))),
            "bearer" => {
                let token = self.token(endpoint, &challenge, scope, credentials).await?;
                Ok(secret_header(format!("Bearer {token}")))
            }
            _ => Ok(None),
        }
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        challenge: &Challenge,
        scope: &str,
        credentials: &Credentials,
    ) -> Result<String, Error> {
        let key = TokenKey {
            realm: challenge.parameter("realm").to_owned(),
            service: challenge.parameter("service").to_owned(),
            scope: scope.to_owned(),
            user: credentials.cache_key(),
        };
        let known = self.authority.tokens().get(&key).cloned();
        if let Some(token) = known.filter(|token| token.expires > Instant::now() + MARGIN) {
            return Ok(token.text);
        }
        let asked = Instant::now();
        let answer = self.ask_token(endpoint, &key, credentials).await?;
        if key.scope.is_empty() && !answer.refresh_token.is_empty() {
            let mut refresh = self.authority.refresh.lock().unwrap_or_else(PoisonError::into_inner);
            if refresh.len() >= CACHE_MAX {
                refresh.clear();
            }
            refresh.insert(key.user, answer.refresh_token);
        }
        let text = if answer.token.is_empty() { answer.access_token } else { answer.token };
        if text.is_empty() {
            let cause = "authorization server did not include a token in the response".to_owned();
            return Err(Error::Token { realm: key.realm, cause });
        }
        let lifetime = answer.expires_in.map_or(DEFAULT_LIFETIME, Duration::from_secs);
        // A year is forever for a token; an absurd number must not overflow the clock.
        let expires = asked + lifetime.clamp(DEFAULT_LIFETIME, Duration::from_secs(365 * 86_400));
        let mut tokens = self.authority.tokens();
        if tokens.len() >= CACHE_MAX {
            tokens.clear();
        }
        tokens.insert(key, Token { text: text.clone(), expires });
        Ok(text)
    }

    async fn ask_token(
        &self,
        endpoint: &Endpoint,
        key: &TokenKey,
        credentials: &Credentials,
    ) -> Result<TokenAnswer, Error> {
        let unusable = |cause: String| Error::Token { realm: key.realm.clone(), cause };
        let mut url = reqwest::Url::parse(&key.realm).map_err(|error| unusable(error.to_string()))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && endpoint.insecure) {
            return Err(unusable("refused to send credentials over plain HTTP".to_owned()));
        }
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let realm_host = Endpoint {
            url: format!("{}://{host}", url.scheme()),
            mirror: false,
            insecure: endpoint.insecure && host == endpoint.host(),
        };
        let http = self.http(&realm_host)?;
        let (method, request) = if credentials.identity_token.is_empty() {
            {
                let mut query = url.query_pairs_mut();
                if !key.service.is_empty() {
                    query.append_pair("service", &key.service);
                }
                if key.scope.is_empty() {
                    // A login: for a token that can be kept in place of the password.
                    query.append_pair("offline_token", "true").append_pair("client_id", CLIENT_ID);
                } else {
                    query.append_pair("scope", &key.scope);
                }
                if !credentials.username.is_empty() {
                    query.append_pair("account", &credentials.username);
                }
            }
            let mut request = http.get(url.clone());
            if !credentials.username.is_empty() {
                request = request.basic_auth(&credentials.username, Some(&credentials.password));
            }
            ("Get", request)
        } else {
            let form = form_encode(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", &credentials.identity_token),
                ("service", &key.service),
                ("scope", &key.scope),
                ("client_id", CLIENT_ID),
            ]);
            let content_type = "application/x-www-form-urlencoded";
            ("Post", http.post(url.clone()).header(http::header::CONTENT_TYPE, content_type).body(form))
        };
        let answer = request.send().await.map_err(|error| Error::network(method, url.as_str(), &error))?;
        let status = answer.status();
        let body = read_limited(answer, method, TOKEN_BODY_MAX, || "token".to_owned()).await?;
        if !status.is_success() {
            return Err(Error::from_answer(status, "", &body));
        }
        serde_json::from_slice(&body).map_err(|error| unusable(error.to_string()))
    }
}

pub(crate) fn form_encode(pairs: &[(&str, &str)]) -> String {
    // The query of a URL is written exactly as application/x-www-form-urlencoded.
    let Ok(mut url) = reqwest::Url::parse("http://form/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

pub(crate) fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.username, credentials.password);
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

/// A header that no log prints. `None` if the text cannot be one.
fn secret_header(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

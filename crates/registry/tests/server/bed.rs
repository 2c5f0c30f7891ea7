//! A registry of one's own, and a client without any knowledge of registries.

use std::net::SocketAddr;
use std::path::Path;

use registry::server::{Config, LogOptions, serve};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

pub(crate) struct Bed {
    folder: Option<TempDir>,
    pub(crate) address: SocketAddr,
    /// All of the server's tasks, also those of its connections.
    runtime: Option<tokio::runtime::Runtime>,
    pub(crate) http: reqwest::Client,
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Bodies as JSON.
pub(crate) trait Json {
    async fn json(self) -> serde_json::Result<Value>;
}

impl Json for Response {
    async fn json(self) -> serde_json::Result<Value> {
        serde_json::from_str(&self.text().await.expect("a body"))
    }
}

/// `sha256:...` of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    store::sha256(bytes).to_string()
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes);
    let hex: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha512:{hex}")
}

/// The `code` of the first error in a body.
pub(crate) async fn code(response: Response) -> String {
    let body: Value = response.json().await.expect("errors are JSON");
    body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
}

/// A header's text; empty without one.
pub(crate) fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let mut bed = Self::on(folder.path(), change).await;
        bed.folder = Some(folder);
        bed
    }

    /// A registry on a folder that is there.
    pub(crate) async fn on(root: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let log = LogOptions { level: "error".to_owned(), json: false, access: false };
        let listen = "127.0.0.1:0".to_owned();
        let mut config = Config { root: root.to_owned(), listen, log, ..Config::default() };
        change(&mut config);
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().expect("start threads");
        runtime.spawn(async move {
            serve(config, |address| tell.send(address).expect("somebody waits"))
                .await
                .expect("the registry starts");
        });
        let address = told.await.expect("the registry is ready");
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        Self { folder: None, address, runtime: Some(runtime), http: http.expect("make a client") }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.as_ref().expect("the folder is the bed's own").path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("http://{}{path}", self.address) }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.http.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await.expect("an answer")
    }

    pub(crate) async fn head(&self, path: &str) -> Response {
        self.request("HEAD", path).send().await.expect("an answer")
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path).send().await.expect("an answer")
    }

    /// A new upload's address.
    pub(crate) async fn begin(&self, name: &str) -> String {
        let path = format!("/v2/{name}/blobs/uploads/");
        let response =
            self.request("POST", &path).header("content-length", "0").send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        header(&response, "location")
    }

    /// Pushes a blob with POST and PUT; returns its digest.
    pub(crate) async fn push_blob(&self, name: &str, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        let location = self.begin(name).await;
        let path = format!("{location}?digest={digest}");
        let response = self.request("PUT", &path).body(bytes).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::CREATED);
        digest
    }

    pub(crate) async fn put_manifest(&self, name: &str, reference: &str, manifest: &Value) -> Response {
        let kind = manifest["mediaType"].as_str().unwrap_or(OCI_MANIFEST).to_owned();
        let path = format!("/v2/{name}/manifests/{reference}");
        let request = self.request("PUT", &path).header("content-type", kind);
        request.body(manifest.to_string()).send().await.expect("an answer")
    }

    /// Pushes an image of one layer under a tag; returns the manifest and its digest.
    pub(crate) async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> (Value, String) {
        let config = self.push_blob(name, r#"{"os":"linux","architecture":"amd64"}"#).await;
        let digest = self.push_blob(name, layer).await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 37 },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": layer.len() }],
        });
        let response = self.put_manifest(name, tag, &manifest).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        (manifest.clone(), sha256(manifest.to_string().as_bytes()))
    }
}

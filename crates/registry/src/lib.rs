//! The distribution protocol (OCI distribution-spec 1.1, Docker registry API v2): the client side here, the server in
//! [`server`].
//!
//! ```text
//!  Client ── repository(ref, credentials) ──> Repository ── manifest ──> Fetched (bytes, digest, media type)
//!    │ one HTTP client per host                   │
//!    │ (roots, certs.d, insecure)                 └─ fetch_blob(descriptor) ──> store::ContentStore
//!    └ challenges and tokens, shared                  (verified while it streams, resumed by range)
//! ```
//!
//! Words: an [`Endpoint`] is one address that may serve a registry (a mirror, HTTPS, plain HTTP); a *challenge*
//! is what a registry asks in `WWW-Authenticate`; a *token* is the answer, valid for one scope.
//!
//! Invariant: no byte leaves this crate as a blob or a manifest unless its digest is the one that was asked for.

mod auth;
mod challenge;
mod client;
mod credentials;
mod download;
mod endpoint;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod manifest;
mod push;
mod repository;
mod search;
pub mod server;
mod tls;

pub use client::{Client, Options, PlainHttp, Proxies, Remote};
pub use credentials::Credentials;
pub use download::DownloadStep;
pub use endpoint::{Endpoint, endpoints};
pub use error::{Error, ErrorCode};
pub use manifest::{Fetched, Manifests, choose, parse};
pub use push::{Growth, Pushed, Pusher, UploadStep};
pub use repository::{Repository, Target};
pub use search::Found;

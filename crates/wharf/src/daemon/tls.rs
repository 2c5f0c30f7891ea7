//! Certificates and keys of the API on TCP: `--tls`, and `--tlsverify`, where clients must show one of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::values::Values;

/// Why TLS cannot be set up. The words are dockerd's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// Certificate or key.
    #[error("invalid TLS configuration: could not load X509 key pair (cert: {cert:?}, key: {key:?}): {why}")]
    KeyPair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The authority of the clients' certificates.
    #[error("invalid TLS configuration: could not read CA certificate {path:?}: {why}")]
    Authority {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Where certificates and keys lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The daemon's certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Who signs clients' certificates, if they must have one.
    pub(crate) client_authority: Option<PathBuf>,
}

/// What the options say; nothing when TLS is off.
pub(crate) fn files(values: &Values) -> Option<TlsFiles> {
    let by_environment = std::env::var_os("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty());
    let verify = values.flag("tlsverify").unwrap_or(by_environment);
    // Whoever says anything about verifying wants TLS, as with dockerd.
    if !(values.flag("tls").unwrap_or(false) || verify || values.flag("tlsverify").is_some()) {
        return None;
    }
    let directory = match std::env::var_os("DOCKER_CERT_PATH").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".docker"),
    };
    let file = |option: &str, name: &str| {
        let given = values.text(option).filter(|path| !path.is_empty());
        given.map_or_else(|| directory.join(name), PathBuf::from)
    };
    Some(TlsFiles {
        cert: file("tlscert", "cert.pem"),
        key: file("tlskey", "key.pem"),
        client_authority: verify.then(|| file("tlscacert", "ca.pem")),
    })
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let pair = |why: String| TlsError::KeyPair { cert: self.cert.clone(), key: self.key.clone(), why };
        // Named here rather than installed for the process, so that nobody depends on who came first.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| pair(error.to_string()))?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let failed = |why: String| TlsError::Authority { path: path.clone(), why };
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(path).map_err(failed)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| failed(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates(&self.cert).map_err(pair)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| pair(format!("{}: {error}", self.key.display())))?;
        let config = builder.with_single_cert(chain, key).map_err(|error| pair(error.to_string()))?;
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(format!("{}: no certificates found", path.display())) } else { Ok(found) }
}

//! Which certificates we believe: the system's, those of `certs.d/<host>/`, or any for an insecure registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::Error;

/// The TLS set-up for `host`. `certs_dir` is Docker's `/etc/docker/certs.d`.
pub(crate) fn config(host: &str, insecure: bool, certs_dir: Option<&Path>) -> Result<ClientConfig, Error> {
    // Named here rather than installed for the process, so that nobody depends on who came first.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let own = match certs_dir {
        Some(dir) => HostCertificates::read(&dir.join(host))?,
        None => HostCertificates::default(),
    };
    let unusable = |cause: rustls::Error| Error::Certificate {
        path: certs_dir.unwrap_or(Path::new("")).join(host),
        cause: cause.to_string(),
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = if insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        let mut roots = RootCertStore::empty();
        // A system without a bundle still pulls from registries whose authority is in certs.d.
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs.into_iter().chain(own.authorities));
        builder.with_root_certificates(roots)
    };
    match own.identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(unusable),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// What `certs.d/<host>/` holds: `*.crt` are authorities, `*.cert` with `*.key` is our own identity.
#[derive(Default)]
struct HostCertificates {
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl HostCertificates {
    fn read(dir: &Path) -> Result<Self, Error> {
        let mut found = Self::default();
        let Ok(entries) = std::fs::read_dir(dir) else { return Ok(found) };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.authorities.extend(certificates(&path)?),
                Some("cert") => {
                    let key_path = path.with_extension("key");
                    let key =
                        PrivateKeyDer::from_pem_file(&key_path).map_err(|cause| Error::Certificate {
                            path: key_path.clone(),
                            cause: format!(
                                "missing or unreadable key for the certificate beside it: {cause}"
                            ),
                        })?;
                    found.identity = Some((certificates(&path)?, key));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |cause: rustls::pki_types::pem::Error| Error::Certificate {
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)
}

/// Accepts every certificate, as `insecure-registries` asks for; signatures of the handshake are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

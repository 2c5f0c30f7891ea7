//! HTTPS: the certificate is read again when its files change or SIGHUP comes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::server::TlsOptions;

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

struct Current {
    config: Arc<ServerConfig>,
    stamps: Vec<Option<SystemTime>>,
    looked: Instant,
}

/// The certificate in use.
pub(crate) struct Tls {
    options: TlsOptions,
    current: Mutex<Current>,
}

fn read(options: &TlsOptions) -> Result<ServerConfig, String> {
    let told = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certificates = |path: &PathBuf| -> Result<Vec<CertificateDer<'static>>, String> {
        let found = CertificateDer::pem_file_iter(path).map_err(|error| told(path, &error))?;
        found.collect::<Result<_, _>>().map_err(|error| told(path, &error))
    };
    let chain = certificates(&options.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&options.key).map_err(|error| told(&options.key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[_] = if options.only_tls13 {
        &[&rustls::version::TLS13]
    } else {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    };
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = if options.client_authorities.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for path in &options.client_authorities {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| told(path, &error))?;
            }
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| told(&options.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn stamps(options: &TlsOptions) -> Vec<Option<SystemTime>> {
    let files = [&options.certificate, &options.key].into_iter().chain(&options.client_authorities);
    files.map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok()).collect()
}

impl Tls {
    /// Reads the files; what is wrong with them is told at start.
    pub(crate) fn open(options: &TlsOptions) -> Result<Self, String> {
        let stamps = stamps(options);
        let config = Arc::new(read(options)?);
        let current = Current { config, stamps, looked: Instant::now() };
        Ok(Self { options: options.clone(), current: Mutex::new(current) })
    }

    /// What the next connection uses.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_AGAIN {
            current.looked = Instant::now();
            let stamps = stamps(&self.options);
            if stamps != current.stamps {
                current.stamps = stamps;
                renew(&mut current, &self.options);
            }
        }
        current.config.clone()
    }

    /// Reads the files again. If they are no good, the old ones stay in use.
    pub(crate) fn reload(&self) {
        renew(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner), &self.options);
    }
}

fn renew(current: &mut Current, options: &TlsOptions) {
    match read(options) {
        Ok(config) => {
            current.config = Arc::new(config);
            tracing::info!("the certificate was read again");
        }
        Err(error) => tracing::error!(error, "the new certificate cannot be used; the old one stays"),
    }
}

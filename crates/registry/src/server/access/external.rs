//! Bearer tokens of somebody else's token service: distribution's `auth.token`.
//!
//! A token is a JWT (RFC 7519) whose header says with what it is signed: a chain of certificates that leads to those of
//! the administrator (`x5c`), or the name of a key that is known (`kid`). What it allows stands in its `access`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use serde::Deserialize;
use time::macros::format_description;

use super::certificate::Certificate;
use super::tokens::Scope;
use crate::server::config::TokenServiceOptions;
use crate::server::error::{Code, Fault};

const TOKEN_BYTES_MAX: usize = 64 << 10;
/// Certificates from a token's own to one that is trusted.
const CHAIN_MAX: usize = 8;

/// The service as we know it.
pub(super) struct External {
    options: TokenServiceOptions,
    roots: Vec<CertificateDer<'static>>,
    /// Checks chains, where there are certificates.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    keys: HashMap<String, DecodingKey>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    access: Option<Vec<Scope>>,
}

impl External {
    /// Reads certificates and keys, so that a mistake in them shows at start.
    pub(super) fn open(options: &TokenServiceOptions) -> Result<Self, String> {
        let mut keys = HashMap::new();
        let (mut roots, mut verifier) = (Vec::new(), None);
        if let Some(path) = &options.certificates {
            roots = read_certificates(path)?;
            let mut store = RootCertStore::empty();
            for root in &roots {
                let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
                store.add(root.clone()).map_err(|error| told(&error))?;
                let known =
                    Certificate::parse(root).ok_or_else(|| told(&"a key that no token is signed with"))?;
                keys.extend(known.key.ids.into_iter().map(|id| (id, known.key.decoding.clone())));
            }
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let built = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
            verifier = Some(built.map_err(|error| format!("{}: {error}", path.display()))?);
        }
        if let Some(path) = &options.jwks {
            let told = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
            let set: JwkSet = serde_json::from_str(&text).map_err(|error| told(&error))?;
            for key in &set.keys {
                let id = key.common.key_id.clone().ok_or_else(|| told(&"a key without kid"))?;
                keys.insert(id, DecodingKey::from_jwk(key).map_err(|error| told(&error))?);
            }
        }
        Ok(Self { options: options.clone(), roots, verifier, keys })
    }

    /// Who a token speaks of, and what they may do.
    pub(super) fn check(&self, token: &str) -> Result<(String, Vec<Scope>), Fault> {
        self.read(token).map_err(|why| {
            tracing::info!(why, "a token is refused");
            Fault::new(Code::Unauthorized, "invalid token")
        })
    }

    fn read(&self, token: &str) -> Result<(String, Vec<Scope>), String> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("it is too long".to_owned());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
        if !self.options.algorithms.contains(&header.alg) {
            return Err(format!("{:?} is not allowed", header.alg));
        }
        let key = match (header.x5c_der(), &header.kid) {
            (Ok(Some(chain)), _) if !chain.is_empty() => self.key_of(chain)?,
            (Err(error), _) => return Err(error.to_string()),
            (_, Some(id)) => self.keys.get(id).cloned().ok_or_else(|| format!("key {id} is not known"))?,
            _ => return Err("it does not say with what it is signed".to_owned()),
        };
        // One minute for clocks that differ, as distribution gives it.
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.options.service]);
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|error| error.to_string())?;
        Ok((claims.claims.sub, claims.claims.access.unwrap_or_default()))
    }

    /// The key of the first certificate of a chain that is good.
    fn key_of(&self, chain: Vec<Vec<u8>>) -> Result<DecodingKey, String> {
        let verifier = self.verifier.as_ref().ok_or("no certificates are trusted")?;
        if chain.len() > CHAIN_MAX {
            return Err("its chain of certificates is too long".to_owned());
        }
        let mut chain = chain.into_iter().map(CertificateDer::from);
        let leaf = chain.next().ok_or("it has no certificate")?;
        let parsed = Certificate::parse(&leaf).ok_or("its certificate cannot be read")?;
        // One that is trusted itself is often its own authority, which a chain must not begin with.
        if self.roots.contains(&leaf) {
            if !parsed.is_good(&now()) {
                return Err("its certificate is not good at this time".to_owned());
            }
        } else {
            let rest: Vec<CertificateDer<'_>> = chain.collect();
            let verified = verifier.verify_client_cert(&leaf, &rest, UnixTime::now());
            verified.map_err(|error| error.to_string())?;
        }
        Ok(parsed.key.decoding)
    }

    /// What `WWW-Authenticate` names as the place of the service.
    pub(super) fn realm(&self, origin: &str) -> String {
        match &self.options.redirect {
            Some(path) => format!("{origin}{path}"),
            None => self.options.realm.clone(),
        }
    }

    /// What the tokens must be for.
    pub(super) fn service(&self) -> &str {
        &self.options.service
    }
}

fn now() -> String {
    let format = format_description!("[year][month][day][hour][minute][second]Z");
    time::OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|error| told(&error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| told(&error))?;
    if found.is_empty() { Err(told(&"no certificates")) } else { Ok(found) }
}

/// The algorithms that tokens may be signed with unless the configuration says otherwise: those with a public key.
pub(in crate::server) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

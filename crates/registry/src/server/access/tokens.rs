//! Bearer tokens of our own: JWTs as distribution's token specification has them, signed with ES256.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::Action;
use crate::server::error::{Code, Fault};
use crate::server::names;

/// The audience of the tokens.
pub(super) const SERVICE: &str = "wharf-registry";
const ISSUER: &str = "wharf";
/// Long enough for a slow push of one layer to begin, short enough to be stolen in vain.
const LIFETIME_S: u64 = 300;
/// The audience of refresh tokens, which are good for nothing but new bearer tokens.
const REFRESH: &str = "wharf-registry-refresh";
/// A login is good for this long, unless the password changes or the account goes.
const REFRESH_LIFETIME_S: u64 = 180 * 86_400;
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Actions on one resource: `repository:team/app:pull,push`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Scope {
    /// Reads a scope as clients send it. What is none gives `None`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let known = kind == "registry" || names::is_repository_name(name);
        let actions = actions.split(',').map(str::to_owned).collect();
        known.then(|| Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }

    pub(super) fn covers(&self, repository: &str, action: Action) -> bool {
        let names = self.actions.iter().any(|one| one == action.as_str() || one == "*");
        self.kind == "repository" && self.name == repository && names
    }

    /// Whether it is about the list of all repositories.
    pub(super) fn is_catalog(&self) -> bool {
        self.kind == "registry" && self.name == "catalog" && self.actions.iter().any(|one| one == "*")
    }

    /// The scope without what `may` denies.
    pub(super) fn narrowed(&self, may: impl Fn(&str, Action) -> bool) -> Self {
        if self.kind == "registry" {
            // The catalog lists what one may pull: everybody may ask for it.
            return self.clone();
        }
        let wanted = |action: &Action| self.covers(&self.name, *action) && may(&self.name, *action);
        let actions = [Action::Pull, Action::Push, Action::Delete].into_iter().filter(wanted);
        Self { actions: actions.map(|action| action.as_str().to_owned()).collect(), ..self.clone() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    nbf: u64,
    iat: u64,
    access: Vec<Scope>,
}

/// What a refresh token says: who, and with which password.
#[derive(Serialize, Deserialize)]
struct RefreshClaims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    /// Of the account's secret: another password ends the token.
    secret: String,
}

/// Signs and checks.
pub(crate) struct Tokens {
    sign: EncodingKey,
    check: DecodingKey,
}

impl Tokens {
    /// The key below the root; made at the first start.
    pub(super) fn open(root: &Path) -> Result<Self, String> {
        let path = root.join("wharf/token-key.der");
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let der = match std::fs::read(&path) {
            Ok(der) => der,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let random = aws_lc_rs::rand::SystemRandom::new();
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                let made = made.map_err(|error| told(&error))?;
                write_secret(&path, made.as_ref()).map_err(|error| told(&error))?;
                made.as_ref().to_vec()
            }
            Err(error) => return Err(told(&error)),
        };
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map_err(|error| told(&error))?;
        let check = DecodingKey::from_ec_der(pair.public_key().as_ref());
        Ok(Self { sign: EncodingKey::from_ec_der(&der), check })
    }

    pub(super) fn issue(&self, subject: &str, access: &[Scope]) -> Result<(String, u64), Fault> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            aud: SERVICE.to_owned(),
            exp: now + LIFETIME_S,
            nbf: now.saturating_sub(10),
            iat: now,
            access: access.to_vec(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.sign);
        Ok((token.map_err(Fault::internal)?, LIFETIME_S))
    }

    /// A token that a client keeps in place of a password. `secret` is a digest of what is kept of that one.
    pub(super) fn issue_refresh(&self, subject: &str, secret: &str) -> Result<String, Fault> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = RefreshClaims {
            iss: ISSUER.to_owned(),
            sub: subject.to_owned(),
            aud: REFRESH.to_owned(),
            exp: now + REFRESH_LIFETIME_S,
            iat: now,
            secret: secret.to_owned(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.sign).map_err(Fault::internal)
    }

    /// The subject of a refresh token that is ours and still good, and the secret it is bound to.
    pub(super) fn check_refresh(&self, token: &str) -> Result<(String, String), Fault> {
        let claims: RefreshClaims = self.decode(token, REFRESH)?;
        Ok((claims.sub, claims.secret))
    }

    /// The subject and scopes of a token that is ours and still good.
    pub(super) fn check(&self, token: &str) -> Result<(String, Vec<Scope>), Fault> {
        let claims: Claims = self.decode(token, SERVICE)?;
        Ok((claims.sub, claims.access))
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, token: &str, audience: &str) -> Result<T, Fault> {
        let bad = || Fault::new(Code::Unauthorized, "invalid token");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(bad());
        }
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let data = jsonwebtoken::decode::<T>(token, &self.check, &validation).map_err(|_| bad())?;
        Ok(data.claims)
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_tokens_are_good() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tokens = Tokens::open(ours.path()).unwrap();
        let scope = Scope::parse("repository:team/app:pull,push").unwrap();
        let (token, seconds) = tokens.issue("alice", std::slice::from_ref(&scope)).unwrap();
        assert_eq!(seconds, 300);
        // The key is kept from start to start.
        let again = Tokens::open(ours.path()).unwrap();
        assert_eq!(again.check(&token).unwrap(), ("alice".to_owned(), vec![scope]));
        // One kind is not good for the other.
        let refresh = tokens.issue_refresh("alice", "abc").unwrap();
        assert_eq!(tokens.check_refresh(&refresh).unwrap(), ("alice".to_owned(), "abc".to_owned()));
        assert!(tokens.check(&refresh).is_err() && tokens.check_refresh(&token).is_err());
        assert!(Tokens::open(theirs.path()).unwrap().check(&token).is_err());
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[1] = "eyJzdWIiOiJyb290In0";
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
        for bad in ["", "a.b.c", &parts.join("."), none, &token[..token.len() - 2], &"x".repeat(20_000)] {
            assert!(again.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_are_narrowed_to_what_is_granted() {
        let scope = Scope::parse("repository:a/b:pull,push,delete").unwrap();
        let narrowed = scope.narrowed(|_, action| action == Action::Pull);
        assert_eq!(narrowed.actions, ["pull"]);
        assert!(narrowed.covers("a/b", Action::Pull) && !narrowed.covers("a", Action::Pull));
        assert!(scope.narrowed(|_, _| false).is_empty());
        assert!(Scope::parse("repository:../a:pull").is_none() && Scope::parse("x").is_none());
        assert!(Scope::parse("repository:host:5000/a:pull").is_none());
    }
}

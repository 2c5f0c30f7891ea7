//! Who is asking, and what they may do.
//!
//! ```text
//! Authorization: Basic   -> htpasswd, or an account, or a robot's token as password
//!                Bearer  -> a short-lived token of ours (`/token`), narrowed to the scopes it was asked for,
//!                           or one of another service, where we are told to trust it: it says all (`external`)
//! none                   -> anonymous
//! ```
//! Grants are looked up at every request, also behind a bearer token: what is revoked ends at once.

pub mod accounts;
mod certificate;
mod external;
mod htpasswd;
pub(crate) mod limiter;
mod tokens;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use tokio::sync::Semaphore;

use super::config::AccessOptions;
use super::digest::{Algorithm, Digest};
use super::error::{Code, Fault};
use super::storage::blocking;
use accounts::{ANONYMOUS, Account, Accounts, Grant};
use external::External;

pub(super) use external::ALGORITHMS;
pub(crate) use tokens::{Scope, Tokens};

/// How long a password that was right is not hashed again.
const REMEMBER: Duration = Duration::from_secs(300);
const REMEMBERED_MAX: usize = 10_000;
/// How often the file is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Password checks at once: each takes a core for tens of milliseconds.
const CHECKS_AT_ONCE: usize = 2;

/// What may be done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Remove.
    Delete,
}

impl Action {
    /// The word in scopes and grants.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    /// The action of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pull, Self::Push, Self::Delete].into_iter().find(|action| action.as_str() == text)
    }
}

/// Somebody whose word was checked.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Empty for anonymous.
    pub(crate) name: String,
    grants: Arc<Vec<Grant>>,
    /// Only within these, if they came with a bearer token.
    scopes: Option<Vec<Scope>>,
    /// Nothing but the token says what is granted; another one may say more.
    is_foreign: bool,
}

impl Identity {
    /// Whether `action` is allowed in a repository.
    pub(crate) fn may(&self, repository: &str, action: Action) -> bool {
        let in_scope = |scopes: &Vec<Scope>| scopes.iter().any(|scope| scope.covers(repository, action));
        self.scopes.as_ref().is_none_or(in_scope) && self.is_granted(repository, action)
    }

    /// Whether `action` is granted, as far as we know, whatever the token at hand was asked for.
    pub(crate) fn is_granted(&self, repository: &str, action: Action) -> bool {
        if self.is_foreign {
            return self.scopes.iter().flatten().any(|scope| scope.covers(repository, action));
        }
        self.grants.iter().any(|grant| grant.covers(repository, action))
    }

    /// Whether no token that they could get would allow `action`.
    pub(crate) fn is_denied(&self, repository: &str, action: Action) -> bool {
        !self.name.is_empty() && !self.is_foreign && !self.is_granted(repository, action)
    }

    /// Whether a repository stands in their lists.
    pub(crate) fn sees(&self, repository: &str) -> bool {
        let lists_all = || self.scopes.iter().flatten().any(Scope::is_catalog);
        self.is_granted(repository, Action::Pull) || (self.is_foreign && lists_all())
    }
}

/// Where accounts come from.
enum Source {
    Accounts,
    Htpasswd { realm: String },
    External(Box<External>),
}

struct File {
    accounts: Option<Arc<Accounts>>,
    modified: Option<SystemTime>,
    looked: Option<Instant>,
}

/// The door-keeper.
pub(crate) struct Access {
    source: Source,
    path: PathBuf,
    file: Mutex<File>,
    remembered: Mutex<HashMap<Digest, Instant>>,
    salt: [u8; 32],
    checks: Semaphore,
    tokens: Tokens,
}

impl Access {
    /// Reads the accounts, so that a mistake in them shows at start.
    pub(crate) fn open(options: &AccessOptions, root: &Path) -> Result<Self, String> {
        let (source, path) = match options {
            AccessOptions::Open => (Source::Accounts, accounts::path(root)),
            AccessOptions::Htpasswd { realm, path } => {
                (Source::Htpasswd { realm: realm.clone() }, path.clone())
            }
            AccessOptions::Tokens(service) => {
                (Source::External(Box::new(External::open(service)?)), PathBuf::new())
            }
        };
        let mut salt = [0; 32];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| "no random numbers".to_owned())?;
        let access = Self {
            source,
            path,
            file: Mutex::new(File { accounts: None, modified: None, looked: None }),
            remembered: Mutex::default(),
            salt,
            checks: Semaphore::new(CHECKS_AT_ONCE),
            tokens: Tokens::open(root)?,
        };
        access.read()?;
        Ok(access)
    }

    /// The accounts; `None` if there are none and everybody may do everything.
    fn accounts(&self) -> Result<Option<Arc<Accounts>>, Fault> {
        self.read().map_err(Fault::internal)
    }

    fn read(&self) -> Result<Option<Arc<Accounts>>, String> {
        if matches!(self.source, Source::External(_)) {
            return Ok(Some(Arc::default()));
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return Ok(file.accounts.clone());
        }
        let told = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let modified = match std::fs::metadata(&self.path).and_then(|found| found.modified()) {
            Ok(modified) => Some(modified),
            // Accounts that were there and are gone must not open the door to everybody.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.accounts.is_none() => {
                match self.source {
                    Source::Accounts => None,
                    _ => return Err(told(error)),
                }
            }
            Err(error) => return Err(told(error)),
        };
        if modified != file.modified {
            let text = std::fs::read_to_string(&self.path).map_err(told)?;
            let accounts = match self.source {
                Source::Htpasswd { .. } => htpasswd::parse(&text),
                _ => Accounts::parse(&text)?,
            };
            file.accounts = Some(Arc::new(accounts));
            file.modified = modified;
        }
        file.looked = Some(Instant::now());
        Ok(file.accounts.clone())
    }

    /// Whether anybody has to say who they are.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.accounts(), Ok(None))
    }

    /// Whether clients get their tokens from us.
    pub(crate) fn issues_tokens(&self) -> bool {
        !matches!(self.source, Source::External(_))
    }

    /// Who sends this header.
    pub(crate) async fn identify(&self, authorization: Option<&str>) -> Result<Identity, Fault> {
        let Some(accounts) = self.accounts()? else {
            let grants = Arc::new(vec![Grant::all()]);
            return Ok(Identity { name: String::new(), grants, scopes: None, is_foreign: false });
        };
        let Some(header) = authorization else { return Ok(anonymous(&accounts)) };
        let (scheme, value) = header.split_once(' ').unwrap_or((header, ""));
        if let Source::External(service) = &self.source {
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(unauthorized());
            }
            let (name, scopes) = service.check(value.trim())?;
            return Ok(Identity { name, grants: Arc::default(), scopes: Some(scopes), is_foreign: true });
        }
        if scheme.eq_ignore_ascii_case("bearer") && matches!(self.source, Source::Accounts) {
            let (subject, scopes) = self.tokens.check(value.trim())?;
            let mut identity = match subject.as_str() {
                "" => anonymous(&accounts),
                name => identity_of(name, accounts.find(name).ok_or_else(unauthorized)?),
            };
            identity.scopes = Some(scopes);
            return Ok(identity);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(unauthorized());
        }
        let pair = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok();
        let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(unauthorized)?;
        let (name, password) = pair.split_once(':').ok_or_else(unauthorized)?;
        self.log_in(&accounts, name, password).await
    }

    /// Checks a name and a password, or a robot's token as password whatever the name is.
    async fn log_in(&self, accounts: &Accounts, name: &str, password: &str) -> Result<Identity, Fault> {
        if let Some((id, account)) = accounts.robot(password) {
            return Ok(identity_of(&id, account));
        }
        let account = accounts.user(name);
        let hash = account.map_or(accounts::NOBODY, |account| &account.hash).to_owned();
        let key = [&self.salt, name.as_bytes(), b"\0", password.as_bytes(), b"\0", hash.as_bytes()].concat();
        let key = Digest::of(Algorithm::Sha256, &key);
        let is_known = {
            let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.get(&key).is_some_and(|since| since.elapsed() < REMEMBER)
        };
        if !is_known {
            let _turn = self.checks.acquire().await.map_err(Fault::internal)?;
            let password = password.to_owned();
            // For an unknown name too: the time must not tell whether a name exists.
            let is_right = blocking(move || Ok(bcrypt::verify(password, &hash).unwrap_or(false))).await?;
            if !is_right {
                return Err(unauthorized());
            }
        }
        let account = account.ok_or_else(unauthorized)?;
        if !is_known {
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(key, Instant::now());
        }
        Ok(identity_of(name, account))
    }

    /// Issues a bearer token for what of `scopes` is granted: the text, and for how many seconds it is good.
    pub(crate) fn issue(&self, identity: &Identity, scopes: &[Scope]) -> Result<(String, u64), Fault> {
        let granted = scopes.iter().map(|scope| scope.narrowed(|name, action| identity.may(name, action)));
        self.tokens.issue(&identity.name, &granted.filter(|scope| !scope.is_empty()).collect::<Vec<_>>())
    }

    /// A token that brings bearer tokens without a password; none for those who have no name, or who came with a bearer
    /// token, which must not outlive itself.
    pub(crate) fn issue_refresh(&self, identity: &Identity) -> Result<Option<String>, Fault> {
        if identity.scopes.is_some() {
            return Ok(None);
        }
        let accounts = self.accounts()?;
        let account = accounts.as_ref().and_then(|accounts| accounts.find(&identity.name));
        let secret = account.filter(|_| !identity.name.is_empty()).map(bound_to);
        secret.map(|secret| self.tokens.issue_refresh(&identity.name, &secret)).transpose()
    }

    /// Who has this refresh token; nobody if the account is gone or its secret was changed.
    pub(crate) fn identify_refresh(&self, token: &str) -> Result<Identity, Fault> {
        let (name, secret) = self.tokens.check_refresh(token)?;
        let accounts = self.accounts()?.ok_or_else(unauthorized)?;
        let account = accounts.find(&name).filter(|account| bound_to(account) == secret);
        account.map(|account| identity_of(&name, account)).ok_or_else(unauthorized)
    }

    /// What `WWW-Authenticate` asks for. `origin` is our own address as the client sees it.
    pub(crate) fn challenge(&self, origin: &str, scope: Option<&str>, error: Option<&str>) -> String {
        match &self.source {
            Source::Htpasswd { realm } => format!("Basic realm=\"{}\"", realm.replace(['"', '\\'], "")),
            source => {
                let (realm, service) = match source {
                    Source::External(service) => (service.realm(origin), service.service()),
                    _ => (format!("{origin}/token"), tokens::SERVICE),
                };
                let mut text = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
                if let Some(scope) = scope {
                    text.push_str(&format!(",scope=\"{scope}\""));
                }
                if let Some(error) = error {
                    text.push_str(&format!(",error=\"{error}\""));
                }
                text
            }
        }
    }
}

/// What a refresh token holds of an account's secret: nothing that leads back to it.
fn bound_to(account: &Account) -> String {
    Digest::of(Algorithm::Sha256, account.hash.as_bytes()).as_str().to_owned()
}

fn anonymous(accounts: &Accounts) -> Identity {
    let grants = accounts.user(ANONYMOUS).map(|account| account.grants.clone()).unwrap_or_default();
    Identity { name: String::new(), grants: Arc::new(grants), scopes: None, is_foreign: false }
}

fn identity_of(name: &str, account: &Account) -> Identity {
    Identity {
        name: name.to_owned(),
        grants: Arc::new(account.grants.clone()),
        scopes: None,
        is_foreign: false,
    }
}

fn unauthorized() -> Fault {
    Fault::new(Code::Unauthorized, "authentication required")
}

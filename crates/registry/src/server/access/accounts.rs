//! Accounts: users with passwords, robots with expiring tokens, and what each may do where. One file below the root,
//! `wharf/accounts.json`, written whole by `wharf registry user|token` and read again by a running registry.
//!
//! The user `anonymous` has no password: what it is granted is what everybody may do, which is how a repository
//! becomes public.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use types::id::hex;

use super::Action;
use crate::server::digest::{Algorithm, Digest};
use crate::server::names;

/// The user whose grants are everybody's.
pub const ANONYMOUS: &str = "anonymous";
/// A hash that no password has, for names that do not exist.
pub(super) const NOBODY: &str = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8.2vkUDGxNWYkgqHAMuPTXc0DrhZOe";
/// What a robot's token begins with, so that scanners of secrets know one.
const TOKEN_PREFIX: &str = "wrt_";
const BCRYPT_COST: u32 = 10;
const FILE_BYTES_MAX: usize = 16 << 20;

/// What is allowed in some repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// A pattern: `team/**`, `public/*`, `**`.
    pub repositories: String,
    /// `pull`, `push`, `delete`.
    pub actions: Vec<String>,
}

impl Grant {
    /// Everything everywhere.
    pub(super) fn all() -> Self {
        let actions = [Action::Pull, Action::Push, Action::Delete];
        Self { repositories: "**".to_owned(), actions: actions.map(|one| one.as_str().to_owned()).to_vec() }
    }

    /// Reads `PATTERN:ACTION,ACTION`.
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        let bad = || AccountError::Grant(text.to_owned());
        let (pattern, actions) = text.rsplit_once(':').ok_or_else(bad)?;
        let parsed: Option<Vec<Action>> = actions.split(',').map(Action::parse).collect();
        let mut parsed = parsed.filter(|_| !pattern.is_empty()).ok_or_else(bad)?;
        parsed.sort_unstable();
        parsed.dedup();
        let actions = parsed.into_iter().map(|action| action.as_str().to_owned()).collect();
        Ok(Self { repositories: pattern.to_owned(), actions })
    }

    pub(super) fn covers(&self, repository: &str, action: Action) -> bool {
        self.actions.iter().any(|one| one == action.as_str())
            && names::matches(&self.repositories, repository)
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.repositories, self.actions.join(","))
    }
}

/// A user or a robot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// A user's name, or what a robot is called.
    pub name: String,
    /// A user's password as bcrypt writes it; a robot's secret as SHA-256.
    pub hash: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// A robot's end, in seconds since 1970; users have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl Account {
    /// Whether a robot's time is over.
    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= OffsetDateTime::now_utc().unix_timestamp())
    }
}

/// Why accounts could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not `PATTERN:ACTIONS`.
    #[error("{0:?} is not a grant: write PATTERN:pull,push,delete")]
    Grant(String),
    /// A name that cannot be one.
    #[error("{0:?} cannot be a name: use letters, digits, '.', '_' and '-'")]
    Name(String),
    /// No such user or robot.
    #[error("there is no {0}")]
    Unknown(String),
    /// A name that is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// The file.
    #[error("{0}")]
    File(String),
    /// A password that bcrypt does not take.
    #[error("the password cannot be used: {0}")]
    Password(String),
}

/// All accounts of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// With passwords.
    #[serde(default)]
    pub users: Vec<Account>,
    /// With tokens.
    #[serde(default)]
    pub robots: Vec<Account>,
}

/// Where the accounts of a registry lie.
pub fn path(root: &Path) -> PathBuf {
    root.join("wharf/accounts.json")
}

impl Accounts {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("accounts.json: {error}"))
    }

    /// The accounts below a root; none if there is no file.
    pub fn load(root: &Path) -> Result<Self, AccountError> {
        let path = path(root);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(AccountError::File(format!("{}: {error}", path.display()))),
            Ok(text) if text.len() > FILE_BYTES_MAX => {
                Err(AccountError::File(format!("{}: too large", path.display())))
            }
            Ok(text) => Self::parse(&text).map_err(AccountError::File),
        }
    }

    /// Writes the file whole, readable by its owner only.
    pub fn save(&self, root: &Path) -> Result<(), AccountError> {
        let path = path(root);
        let text =
            serde_json::to_string_pretty(self).map_err(|error| AccountError::File(error.to_string()))?;
        super::tokens::write_secret(&path, text.as_bytes())
            .map_err(|error| AccountError::File(format!("{}: {error}", path.display())))
    }

    pub(super) fn user(&self, name: &str) -> Option<&Account> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The robot whose token this is.
    pub(super) fn robot(&self, secret: &str) -> Option<(String, &Account)> {
        if !secret.starts_with(TOKEN_PREFIX) {
            return None;
        }
        let hash = hash_secret(secret);
        // Comparing hashes of random secrets tells nothing about any of them.
        let robot = self.robots.iter().find(|robot| robot.hash == hash && !robot.is_expired())?;
        Some((robot_name(&robot.name), robot))
    }

    /// The account behind the name in a bearer token.
    pub(super) fn find(&self, name: &str) -> Option<&Account> {
        match name.strip_prefix("robot$") {
            Some(robot) => self.robots.iter().find(|one| one.name == robot && !one.is_expired()),
            None => self.user(name),
        }
    }

    /// Adds a user, or gives one a new password; grants are added to those that are there.
    pub fn set_user(&mut self, name: &str, password: &str, grants: Vec<Grant>) -> Result<(), AccountError> {
        check_name(name)?;
        let hash = match name {
            ANONYMOUS => String::new(),
            _ if password.is_empty() => return Err(AccountError::Password("it is empty".to_owned())),
            _ => bcrypt::hash(password, BCRYPT_COST)
                .map_err(|error| AccountError::Password(error.to_string()))?,
        };
        match self.users.iter_mut().find(|user| user.name == name) {
            Some(user) => user.hash = hash,
            None => {
                self.users.push(Account { name: name.to_owned(), hash, grants: Vec::new(), expires: None });
            }
        }
        grants.into_iter().try_for_each(|grant| self.grant(name, grant))
    }

    /// Adds a grant; `anonymous` comes into being with its first.
    pub fn grant(&mut self, name: &str, grant: Grant) -> Result<(), AccountError> {
        if name == ANONYMOUS && self.user(ANONYMOUS).is_none() {
            self.set_user(ANONYMOUS, "", Vec::new())?;
        }
        let user = self.users.iter_mut().find(|user| user.name == name);
        let user = user.ok_or_else(|| AccountError::Unknown(format!("user {name}")))?;
        user.grants.retain(|one| one.repositories != grant.repositories);
        user.grants.push(grant);
        Ok(())
    }

    /// Takes away what is granted for a pattern.
    pub fn revoke(&mut self, name: &str, pattern: &str) -> Result<(), AccountError> {
        let user = self.users.iter_mut().find(|user| user.name == name);
        let user = user.ok_or_else(|| AccountError::Unknown(format!("user {name}")))?;
        let before = user.grants.len();
        user.grants.retain(|one| one.repositories != pattern);
        match user.grants.len() {
            after if after < before => Ok(()),
            _ => Err(AccountError::Unknown(format!("grant of {pattern} to {name}"))),
        }
    }

    /// Removes a user.
    pub fn remove_user(&mut self, name: &str) -> Result<(), AccountError> {
        let before = self.users.len();
        self.users.retain(|user| user.name != name);
        if self.users.len() < before { Ok(()) } else { Err(AccountError::Unknown(format!("user {name}"))) }
    }

    /// Makes a robot and returns its token, which is told this once.
    pub fn add_robot(
        &mut self,
        name: &str,
        grants: Vec<Grant>,
        expires: i64,
    ) -> Result<String, AccountError> {
        check_name(name)?;
        self.robots.retain(|robot| !robot.is_expired());
        if self.robots.iter().any(|robot| robot.name == name) {
            return Err(AccountError::Exists(format!("token {name}")));
        }
        let mut random = [0; 24];
        let filled = aws_lc_rs::rand::fill(&mut random);
        filled.map_err(|_| AccountError::Password("no random numbers".to_owned()))?;
        let secret = format!("{TOKEN_PREFIX}{}", hex(&random));
        let hash = hash_secret(&secret);
        self.robots.push(Account { name: name.to_owned(), hash, grants, expires: Some(expires) });
        Ok(secret)
    }

    /// Removes a robot.
    pub fn remove_robot(&mut self, name: &str) -> Result<(), AccountError> {
        let before = self.robots.len();
        self.robots.retain(|robot| robot.name != name);
        if self.robots.len() < before { Ok(()) } else { Err(AccountError::Unknown(format!("token {name}"))) }
    }
}

fn robot_name(name: &str) -> String {
    format!("robot${name}")
}

/// Secrets are 192 random bits: one round of SHA-256 is enough, and fast.
fn hash_secret(secret: &str) -> String {
    Digest::of(Algorithm::Sha256, secret.as_bytes()).as_str().to_owned()
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(good) {
        return Ok(());
    }
    Err(AccountError::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_and_cover_what_they_say() {
        let grant = Grant::parse("team/**:push,pull").unwrap();
        assert_eq!(grant.to_string(), "team/**:pull,push");
        assert!(grant.covers("team/a", Action::Pull) && !grant.covers("team/a", Action::Delete));
        assert!(!grant.covers("other", Action::Pull));
        for bad in ["team", ":pull", "a:", "a:write", "a:pull,"] {
            assert!(Grant::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn robots_end_by_themselves() {
        let mut accounts = Accounts::default();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let secret = accounts.add_robot("ci", vec![Grant::all()], now + 3600).unwrap();
        assert_eq!(accounts.robot(&secret).map(|(name, _)| name), Some("robot$ci".to_owned()));
        assert!(accounts.robot("wrt_other").is_none() && accounts.robot("").is_none());
        assert!(accounts.add_robot("ci", Vec::new(), now + 1).is_err());
        accounts.robots[0].expires = Some(now - 1);
        assert!(accounts.robot(&secret).is_none() && accounts.find("robot$ci").is_none());
        let text = serde_json::to_string(&accounts).unwrap();
        assert!(!text.contains(&secret) && Accounts::parse(&text).unwrap() == accounts);
    }
}

//! Who we are for a registry.

use std::fmt;

/// What a user gave for one registry (`X-Registry-Auth`, `docker login`). Never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User name; empty without one.
    pub username: String,
    /// Password or personal token.
    pub password: String,
    /// OAuth2 refresh token of an earlier login.
    pub identity_token: String,
    /// A bearer token to be sent as it is.
    pub registry_token: String,
}

impl Credentials {
    /// Whether there is nothing to present.
    pub fn is_anonymous(&self) -> bool {
        self.username.is_empty() && self.identity_token.is_empty() && self.registry_token.is_empty()
    }

    /// A key that tells two users apart in the token cache without keeping the password in the key.
    pub(crate) fn cache_key(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (&self.username, &self.password, &self.identity_token, &self.registry_token).hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

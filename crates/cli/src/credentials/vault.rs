//! Our own keeper of credentials: one file, each secret sealed with AES-256-GCM. docs/decisions/credentials.md says
//! against whom that helps, and against whom it does not.
//!
//! ```text
//!   wharf-credentials/vault.json  {"version":1,"key":{"kind":"file"},"entries":{"SERVER":{"nonce","sealed"}}}
//!   wharf-credentials/key         32 random bytes in base64; none when a passphrase is the key
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Credential;
use crate::contexts::replace;
use crate::os_error;

/// A passphrase here is the key, and no key lies on disk.
pub(crate) const PASSPHRASE: &str = "WHARF_CREDENTIALS_PASSPHRASE";
/// What a sealed secret belongs to, besides its server: nothing else sealed with the key passes for one.
const PURPOSE: &[u8] = b"wharf-credential-1\0";
const KEY_BYTES: usize = 32;
/// OWASP's figure of 2023 for PBKDF2 with HMAC-SHA256.
const ITERATIONS: u32 = 600_000;

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    key: KeyKind,
    entries: BTreeMap<String, Sealed>,
}

/// Where the key comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
enum KeyKind {
    /// From the file beside.
    File,
    /// From a passphrase, by PBKDF2 with HMAC-SHA256.
    Passphrase {
        /// In base64.
        salt: String,
        iterations: u32,
    },
}

/// One secret; both in base64.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    nonce: String,
    sealed: String,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Secret {
    user: String,
    secret: String,
}

/// The keeper in one directory of client files.
pub(crate) struct Vault {
    directory: PathBuf,
}

impl Vault {
    pub(crate) fn new(client_directory: &Path) -> Self {
        Self { directory: client_directory.join("wharf-credentials") }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("vault.json")
    }

    /// The credentials of a server, if they are kept here.
    pub(crate) fn get(&self, server: &str) -> Result<Option<Credential>, String> {
        let Some(document) = self.read()? else { return Ok(None) };
        let Some(sealed) = document.entries.get(server) else { return Ok(None) };
        self.open(&self.key(&document.key)?, server, sealed).map(Some)
    }

    /// Servers and users.
    pub(crate) fn list(&self) -> Result<BTreeMap<String, String>, String> {
        let Some(document) = self.read()? else { return Ok(BTreeMap::new()) };
        let key = self.key(&document.key)?;
        let user = |(server, sealed): (&String, &Sealed)| {
            Ok((server.clone(), self.open(&key, server, sealed)?.user))
        };
        document.entries.iter().map(user).collect()
    }

    /// Keeps credentials.
    pub(crate) fn store(&self, server: &str, credential: &Credential) -> Result<(), String> {
        let _lock = self.lock()?;
        let mut document = match self.read()? {
            Some(document) => document,
            None => Document { version: 1, key: new_key_kind()?, entries: BTreeMap::new() },
        };
        let key = self.key(&document.key)?;
        document.entries.insert(server.to_owned(), seal(&key, server, credential)?);
        self.write(&document)
    }

    /// Forgets credentials; false when there were none.
    pub(crate) fn erase(&self, server: &str) -> Result<bool, String> {
        if !self.path().exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let Some(mut document) = self.read()? else { return Ok(false) };
        if document.entries.remove(server).is_none() {
            return Ok(false);
        }
        self.write(&document).map(|()| true)
    }

    fn read(&self) -> Result<Option<Document>, String> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("open {}: {}", path.display(), os_error(&error))),
        };
        let document: Document =
            serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        match document.version {
            1 => Ok(Some(document)),
            version => Err(format!("{}: version {version} is not known", path.display())),
        }
    }

    fn write(&self, document: &Document) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(document).map_err(|error| error.to_string())?;
        replace(&self.path(), &text, 0o600)
    }

    /// Held while the file is read and written again.
    fn lock(&self) -> Result<fs::File, String> {
        let path = self.directory.join("lock");
        let failed = |error: io::Error| format!("open {}: {}", path.display(), os_error(&error));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(failed)?;
        let mut options = fs::OpenOptions::new();
        let file =
            options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(file)
    }

    fn key(&self, kind: &KeyKind) -> Result<LessSafeKey, String> {
        let mut bytes = [0; KEY_BYTES];
        match kind {
            KeyKind::Passphrase { salt, iterations } => {
                let passphrase = std::env::var(PASSPHRASE)
                    .map_err(|_| format!("the credentials are sealed with a passphrase: set {PASSPHRASE}"))?;
                let salt = STANDARD.decode(salt).map_err(|error| error.to_string())?;
                let rounds = NonZeroU32::new(*iterations).ok_or("iterations: 0")?;
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, passphrase.as_bytes(), &mut bytes);
            }
            KeyKind::File => bytes = self.key_file()?,
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| "cannot make a key")?;
        Ok(LessSafeKey::new(key))
    }

    /// Reads the key; makes it when nothing was sealed with it yet.
    fn key_file(&self) -> Result<[u8; KEY_BYTES], String> {
        let path = self.directory.join("key");
        match fs::read_to_string(&path) {
            Ok(text) => STANDARD
                .decode(text.trim())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| format!("{}: no key of {KEY_BYTES} bytes in base64", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path().exists() => {
                let mut bytes = [0; KEY_BYTES];
                rand::fill(&mut bytes).map_err(|_| "no random numbers")?;
                replace(&path, STANDARD.encode(bytes).as_bytes(), 0o600)?;
                Ok(bytes)
            }
            Err(error) => Err(format!("open {}: {}", path.display(), os_error(&error))),
        }
    }

    fn open(&self, key: &LessSafeKey, server: &str, sealed: &Sealed) -> Result<Credential, String> {
        let damaged =
            || format!("{}: the entry of {server} cannot be opened with this key", self.path().display());
        let nonce = STANDARD.decode(&sealed.nonce).map_err(|_| damaged())?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| damaged())?;
        let mut bytes = STANDARD.decode(&sealed.sealed).map_err(|_| damaged())?;
        let opened = key.open_in_place(nonce, aad(server), &mut bytes).map_err(|_| damaged())?;
        let Secret { user, secret } = serde_json::from_slice(opened).map_err(|_| damaged())?;
        Ok(Credential { user, secret })
    }
}

/// A new file's: a passphrase when there is one.
fn new_key_kind() -> Result<KeyKind, String> {
    if std::env::var_os(PASSPHRASE).is_none_or(|passphrase| passphrase.is_empty()) {
        return Ok(KeyKind::File);
    }
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| "no random numbers")?;
    Ok(KeyKind::Passphrase { salt: STANDARD.encode(salt), iterations: ITERATIONS })
}

/// An entry that is moved to another server's place does not open.
fn aad(server: &str) -> Aad<Vec<u8>> {
    Aad::from([PURPOSE, server.as_bytes()].concat())
}

/// Nonces are random: a user would have to log in some billion times before two are likely to be the same.
fn seal(key: &LessSafeKey, server: &str, credential: &Credential) -> Result<Sealed, String> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| "no random numbers")?;
    let secret = Secret { user: credential.user.clone(), secret: credential.secret.clone() };
    let mut bytes = serde_json::to_vec(&secret).map_err(|error| error.to_string())?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(server), &mut bytes)
        .map_err(|_| "cannot seal")?;
    Ok(Sealed { nonce: STANDARD.encode(nonce), sealed: STANDARD.encode(bytes) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn credential(user: &str, secret: &str) -> Credential {
        Credential { user: user.to_owned(), secret: secret.to_owned() }
    }

    #[test]
    fn secrets_come_back_and_are_not_readable_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path());
        assert_eq!(vault.get("one").unwrap(), None);
        assert!(!vault.erase("one").unwrap());
        vault.store("one", &credential("me", "open sesame")).unwrap();
        vault.store("two", &credential("you", "other")).unwrap();
        assert_eq!(vault.get("one").unwrap(), Some(credential("me", "open sesame")));
        assert_eq!(
            vault.list().unwrap(),
            BTreeMap::from([("one".into(), "me".into()), ("two".into(), "you".into())])
        );
        let text = fs::read_to_string(vault.path()).unwrap();
        assert!(!text.contains("sesame") && !text.contains("\"me\""), "{text}");
        for file in ["vault.json", "key"] {
            let mode = fs::metadata(vault.directory.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert!(vault.erase("one").unwrap());
        assert_eq!(vault.get("one").unwrap(), None);
    }

    #[test]
    fn what_was_tampered_with_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path());
        vault.store("one", &credential("me", "secret")).unwrap();
        let text = fs::read_to_string(vault.path()).unwrap();
        fs::write(vault.path(), text.replace("\"one\"", "\"evil\"")).unwrap();
        assert!(vault.get("evil").unwrap_err().contains("cannot be opened with this key"));
        fs::write(vault.path(), &text).unwrap();
        fs::write(vault.directory.join("key"), STANDARD.encode([7; KEY_BYTES])).unwrap();
        assert!(vault.get("one").is_err());
        fs::remove_file(vault.directory.join("key")).unwrap();
        assert!(
            vault.get("one").is_err(),
            "a lost key is not replaced while there is something sealed with it"
        );
    }
}

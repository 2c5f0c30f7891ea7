//! Contexts: named places where a daemon is. Docker's files, so that both clients share them.
//!
//! ```text
//!   contexts/meta/SHA256(name)/meta.json              {"Name","Metadata":{"Description"},"Endpoints":{"docker":{...}}}
//!   contexts/tls/SHA256(name)/docker/{ca,cert,key}.pem
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use tar::{Entry, EntryKind, Reader, Writer};
use wire::client::TlsOptions;

use crate::os_error;

/// The one that is always there: flags and environment.
pub(crate) const DEFAULT: &str = "default";
/// The name of Docker's endpoint in a context. Other programs keep others beside it.
pub(crate) const ENDPOINT: &str = "docker";
const NAME_PATTERN: &str = "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$";
const META_FILE: &str = "meta.json";
/// A context that is imported may be this large, in bytes.
const IMPORT_MAX: u64 = 10 << 20;
/// Directories inside directories below `meta`, where Docker looks too.
const DEPTH_MAX: usize = 8;

/// One context, with what other programs have put into it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) endpoints: Map<String, Value>,
}

/// Certificates and keys: endpoint to file to contents.
pub(crate) type TlsFiles = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

impl Meta {
    /// What it is for, in the user's words.
    pub(crate) fn description(&self) -> &str {
        self.metadata.get("Description").and_then(Value::as_str).unwrap_or_default()
    }

    /// Where its daemon listens.
    pub(crate) fn host(&self) -> Result<&str, String> {
        let endpoint = self.endpoints.get(ENDPOINT).ok_or("cannot find docker endpoint in context")?;
        Ok(endpoint["Host"].as_str().unwrap_or_default())
    }

    /// Whether its daemon's certificate is believed unseen.
    pub(crate) fn skips_verification(&self) -> bool {
        self.endpoints.get(ENDPOINT).is_some_and(|endpoint| endpoint["SkipTLSVerify"] == true)
    }

    /// As it is kept, and shown.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "Name": self.name, "Metadata": self.metadata, "Endpoints": self.endpoints })
    }

    fn from_json(text: &[u8]) -> serde_json::Result<Self> {
        let mut whole: Value = serde_json::from_slice(text)?;
        let mut object = |name: &str| match whole[name].take() {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let (metadata, endpoints) = (object("Metadata"), object("Endpoints"));
        Ok(Self { name: whole["Name"].as_str().unwrap_or_default().to_owned(), metadata, endpoints })
    }
}

/// What to believe of the files of one endpoint.
pub(crate) fn tls_options(
    files: Option<&BTreeMap<String, Vec<u8>>>,
    skip_verify: bool,
) -> Option<TlsOptions> {
    if files.is_none() && !skip_verify {
        return None;
    }
    let file = |name: &str| files.and_then(|files| files.get(name)).cloned();
    Some(TlsOptions { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem"), skip_verify })
}

/// Docker's rule for names.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte));
    match name {
        "" => Err("context name cannot be empty".to_owned()),
        DEFAULT => Err("\"default\" is a reserved context name".to_owned()),
        name if first && rest && name.len() > 1 => Ok(()),
        name => Err(format!(
            "context name {name:?} is invalid, names are validated against regexp {NAME_PATTERN:?}"
        )),
    }
}

/// The contexts of one user.
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// Those in a directory of client files.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { root: directory.join("contexts") }
    }

    /// Where a context's metadata is.
    pub(crate) fn meta_path(&self, name: &str) -> PathBuf {
        self.root.join("meta").join(id_of(name))
    }

    /// Where a context's certificates and keys are.
    pub(crate) fn tls_path(&self, name: &str) -> PathBuf {
        self.root.join("tls").join(id_of(name))
    }

    /// One context; nothing when there is none of that name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Meta>, String> {
        read_meta(&self.meta_path(name).join(META_FILE))
    }

    /// One context, which must be there.
    pub(crate) fn get(&self, name: &str) -> Result<Meta, String> {
        let path = self.meta_path(name).join(META_FILE);
        self.find(name).map_err(|why| format!("context {name:?}: {why}"))?.ok_or_else(|| {
            format!("context {name:?}: context not found: open {}: no such file or directory", path.display())
        })
    }

    /// All contexts, by name.
    pub(crate) fn list(&self) -> Result<Vec<Meta>, String> {
        let mut found = Vec::new();
        collect(&self.root.join("meta"), 0, &mut found)
            .map_err(|why| format!("failed to read metadata: {why}"))?;
        found.sort_by(|a: &Meta, b| crate::format::text::natural(&a.name, &b.name));
        Ok(found)
    }

    /// Keeps a context's metadata.
    pub(crate) fn put(&self, meta: &Meta) -> Result<(), String> {
        let directory = self.meta_path(&meta.name);
        make_directory(&directory, 0o755)?;
        replace(&directory.join(META_FILE), meta.to_json().to_string().as_bytes(), 0o644)
    }

    /// Replaces certificates and keys: those of all endpoints, or of one.
    pub(crate) fn put_tls(&self, name: &str, endpoint: Option<&str>, files: &TlsFiles) -> Result<(), String> {
        let top = self.tls_path(name);
        let old = endpoint.map_or_else(|| top.clone(), |endpoint| top.join(endpoint));
        remove(&old).map_err(|why| format!("failed to remove TLS data: {why}"))?;
        for (endpoint, files) in files {
            let directory = top.join(endpoint);
            make_directory(&directory, 0o700)?;
            for (file, contents) in files {
                replace(&directory.join(file), contents, 0o600)?;
            }
        }
        Ok(())
    }

    /// Certificates and keys of a context.
    pub(crate) fn tls(&self, name: &str) -> Result<TlsFiles, String> {
        let top = self.tls_path(name);
        let failed = |path: &Path, error: io::Error| {
            format!(
                "failed to list TLS files for context {name}: open {}: {}",
                path.display(),
                os_error(&error)
            )
        };
        let mut found = TlsFiles::new();
        for endpoint in entries(&top).map_err(|error| failed(&top, error))? {
            if !endpoint.is_dir() {
                continue;
            }
            let mut files = BTreeMap::new();
            for file in entries(&endpoint).map_err(|error| failed(&endpoint, error))? {
                if file.is_file() {
                    files.insert(name_of(&file), fs::read(&file).map_err(|error| failed(&file, error))?);
                }
            }
            found.insert(name_of(&endpoint), files);
        }
        Ok(found)
    }

    /// Forgets a context.
    pub(crate) fn remove(&self, name: &str) -> Result<(), String> {
        for (path, what) in [(self.meta_path(name), "metadata"), (self.tls_path(name), "TLS data")] {
            remove(&path)
                .map_err(|why| format!("failed to remove context {name}: failed to remove {what}: {why}"))?;
        }
        Ok(())
    }
}

/// A context as a tar that either client can import.
pub(crate) fn export(meta: &Meta, tls: &TlsFiles) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new());
    let file = |path: String, mode: u32, contents: &[u8]| Entry {
        size: contents.len() as u64,
        ..Entry::new(EntryKind::File, path, mode)
    };
    let text = meta.to_json().to_string();
    writer.append_file(&file(META_FILE.to_owned(), 0o644, text.as_bytes()), &mut text.as_bytes())?;
    writer.append(&Entry::new(EntryKind::Directory, "tls", 0o700))?;
    for (endpoint, files) in tls {
        writer.append(&Entry::new(EntryKind::Directory, format!("tls/{endpoint}"), 0o700))?;
        for (name, contents) in files {
            let path = format!("tls/{endpoint}/{name}");
            writer.append_file(&file(path, 0o600, contents), &mut contents.as_slice())?;
        }
    }
    writer.finish()
}

/// Reads what [`export`] wrote. The context gets the name that it is imported under.
pub(crate) fn import(name: &str, input: impl Read) -> Result<(Meta, TlsFiles), String> {
    let mut head = Vec::new();
    let mut input = input.take(IMPORT_MAX + 1);
    input.by_ref().take(4).read_to_end(&mut head).map_err(|error| os_error(&error))?;
    if head.starts_with(b"PK\x03\x04") {
        return Err("importing a context from a zip file is not implemented: export it as a tar".to_owned());
    }
    let mut reader = Reader::new(
        // Docker's client leaves out the padding behind the last file, and the end.
        io::Cursor::new(head).chain(input).chain(io::repeat(0).take(4 * tar::BLOCK as u64)),
    );
    let (mut meta, mut tls) = (None, TlsFiles::new());
    let mut total = 0;
    while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
        if entry.kind != EntryKind::File {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        check_path(&path).map_err(|why| format!("{path}: {why}"))?;
        total += entry.size;
        if total > IMPORT_MAX {
            return Err("read exceeds the defined limit".to_owned());
        }
        let mut contents = Vec::new();
        reader.read_to_end(&mut contents).map_err(|error| os_error(&error))?;
        match path.strip_prefix("tls/") {
            None => meta = Some(Meta::from_json(&contents).map_err(|error| error.to_string())?),
            Some(rest) => {
                let (endpoint, file) =
                    rest.split_once('/').ok_or_else(|| "archive format is invalid".to_owned())?;
                tls.entry(endpoint.to_owned()).or_default().insert(file.to_owned(), contents);
            }
        }
    }
    let meta = meta.ok_or_else(|| "invalid context: no metadata found".to_owned())?;
    Ok((Meta { name: name.to_owned(), ..meta }, tls))
}

/// A path of an exported context never leads anywhere else: what comes after `tls/` becomes names of files here.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path != META_FILE && !path.starts_with("tls/") {
        return Err("unexpected context file");
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > 3 || parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err("unexpected path format");
    }
    if path.contains('\\') {
        return Err("unexpected '\\' in path");
    }
    Ok(())
}

/// The name of a context's directory.
fn id_of(name: &str) -> String {
    types::id::hex(digest(&SHA256, name.as_bytes()).as_ref())
}

fn read_meta(path: &Path) -> Result<Option<Meta>, String> {
    match fs::read(path) {
        Ok(text) => {
            Meta::from_json(&text).map(Some).map_err(|error| format!("parsing {}: {error}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("open {}: {}", path.display(), os_error(&error))),
    }
}

fn collect(directory: &Path, depth: usize, found: &mut Vec<Meta>) -> Result<(), String> {
    let failed = |error: io::Error| format!("open {}: {}", directory.display(), os_error(&error));
    for path in entries(directory).map_err(failed)?.into_iter().filter(|path| path.is_dir()) {
        found.extend(read_meta(&path.join(META_FILE))?);
        if depth < DEPTH_MAX {
            collect(&path, depth + 1, found)?;
        }
    }
    Ok(())
}

/// What is in a directory, in order; nothing when it is not there.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let read = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let mut paths = read.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn make_directory(path: &Path, mode: u32) -> Result<(), String> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| format!("mkdir {}: {}", path.display(), os_error(&error)))
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("unlinkat {}: {}", path.display(), os_error(&error)))
        }
        _ => Ok(()),
    }
}

/// Writes a file so that whoever reads it meanwhile sees the old or the new one.
pub(crate) fn replace(path: &Path, contents: &[u8], mode: u32) -> Result<(), String> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}", std::process::id()));
    let partial = PathBuf::from(partial);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&partial)
        .and_then(|mut file| file.write_all(contents))
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| {
        // What is half written is of no use to anybody.
        let _ = fs::remove_file(&partial);
        format!("{}: {}", path.display(), os_error(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (path, text) in files {
            let entry = Entry { size: text.len() as u64, ..Entry::new(EntryKind::File, *path, 0o644) };
            writer.append_file(&entry, &mut text.as_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_context_comes_back_from_disk_and_from_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let endpoints =
            json!({ ENDPOINT: { "Host": "tcp://far:2376", "SkipTLSVerify": false }, "other": { "x": 1 } });
        let meta = Meta {
            name: "far".to_owned(),
            metadata: json!({ "Description": "over there", "GODEBUG": "x" }).as_object().unwrap().clone(),
            endpoints: endpoints.as_object().unwrap().clone(),
        };
        let tls = TlsFiles::from([(
            ENDPOINT.to_owned(),
            BTreeMap::from([("ca.pem".to_owned(), b"authority".to_vec())]),
        )]);
        store.put(&meta).unwrap();
        store.put_tls("far", None, &tls).unwrap();
        assert_eq!(store.get("far").unwrap(), meta);
        assert_eq!(store.tls("far").unwrap(), tls);
        assert_eq!(store.list().unwrap().len(), 1);
        let (imported, files) = import("near", &export(&meta, &tls).unwrap()[..]).unwrap();
        assert_eq!((imported.name.as_str(), imported.host().unwrap()), ("near", "tcp://far:2376"));
        assert_eq!(files, tls);
        store.remove("far").unwrap();
        assert!(store.get("far").unwrap_err().starts_with("context \"far\": context not found"));
    }

    #[test]
    fn names_and_archives_that_lead_elsewhere_are_refused() {
        for (name, good) in
            [("ab", true), ("a.b+c-d_e", true), ("a", false), ("", false), ("a/b", false), (DEFAULT, false)]
        {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
        for (path, want) in [
            ("tls/../../x", "unexpected path format"),
            ("tls/docker/../x", "unexpected path format"),
            ("tls/a/b/c", "unexpected path format"),
            ("other", "unexpected context file"),
            ("tls/a\\b/c", "unexpected '\\' in path"),
        ] {
            let error = import("xx", &archive(&[("meta.json", "{}"), (path, "")])[..]).unwrap_err();
            assert_eq!(error, format!("{path}: {want}"));
        }
        assert_eq!(import("xx", &archive(&[])[..]).unwrap_err(), "invalid context: no metadata found");
    }
}

//! Volumes: directories `volumes/NAME/_data` of the `local` driver, and what is known of those that others keep.

use std::{
    collections::BTreeMap,
    fs,
    os::{fd::AsFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rusqlite::{OptionalExtension as _, Row, params};

use crate::{
    db::{self, Durability},
    error::{Error, IoContext, Result},
    leases::{self, Resource},
    paths,
    store::Store,
};

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// [`LOCAL`], or the plugin that keeps it.
    pub driver: String,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// Driver options; those of `local` are `type`, `device`, `o`: what is mounted on its directory while it is used; and
    /// `size`: how much it may hold at most.
    pub options: BTreeMap<String, String>,
    /// RFC 3339.
    pub created_at: String,
    /// Made for one container, without a name from the user.
    pub anonymous: bool,
    /// Its data; empty if another driver keeps it.
    pub mountpoint: PathBuf,
}

/// The driver whose volumes lie here.
pub const LOCAL: &str = "local";

impl Volume {
    /// Whether its data is a directory of ours.
    pub fn is_local(&self) -> bool {
        self.driver == LOCAL
    }

    /// Whether something is mounted on its directory while it is used.
    pub fn is_mounted_on_use(&self) -> bool {
        self.is_local() && self.options.contains_key("type")
    }
}

/// The volumes of one store.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'a> {
    store: &'a Store,
}

impl<'a> Volumes<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Makes a volume. One of that name that is there already is returned as it is, with `false`.
    pub fn create(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
        anonymous: bool,
    ) -> Result<(Volume, bool)> {
        check_name(name)?;
        check_options(options)?;
        // Two creates of one name must not both find it missing.
        let _flight = self.store.flights().enter(&format!("volume {name}"));
        if let Some(volume) = self.get(name)? {
            return Ok((volume, false));
        }
        let limit = limit_of(options)?;
        let volumes = self.store.paths().volumes();
        if limit.is_some() && !linux::quota::is_enforced(open_dir(&volumes)?.as_fd()) {
            return Err(Error::Invalid("quota size requested but no quota support".to_owned()));
        }
        let data = self.data(name);
        paths::make(data.parent().unwrap_or(&data), 0o701)?;
        paths::make(&data, 0o755)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).at("changing the mode of", &data)?;
        if let Some(bytes) = limit {
            let set = open_dir(&data)
                .and_then(|dir| linux::quota::limit(&[dir.as_fd()], bytes).at("setting the quota of", &data));
            if set.is_err() {
                // Each succeeds only for what is empty.
                let _kept = fs::remove_dir(&data).and_then(|()| fs::remove_dir(volumes.join(name)));
            }
            set?;
        }
        Ok((self.note(LOCAL, name, labels, options, anonymous)?, true))
    }

    /// Makes a volume with content: nobody sees it before it is whole, and what is cut short leaves nothing. `fill` gets
    /// the empty directory of its data. A name that is taken is refused.
    pub fn create_filled(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Volume> {
        check_name(name)?;
        // The place is empty when the store is opened: a number is nobody else's.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let new = self.store.paths().tmp().join(format!("volume-{number}"));
        let made = self.fill_and_place(name, labels, &new, fill);
        if made.is_err() {
            // What is left is removed when the store is opened again.
            let _later = self.store.trash.discard(&new);
        }
        made
    }

    fn fill_and_place(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        new: &Path,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Volume> {
        let data = new.join("_data");
        for (dir, mode) in [(new, 0o701), (&data, 0o755)] {
            paths::make(dir, mode)?;
            fs::set_permissions(dir, fs::Permissions::from_mode(mode)).at("changing the mode of", dir)?;
        }
        fill(&data)?;
        let opened = fs::File::open(&data).at("opening", &data)?;
        rustix::fs::syncfs(&opened).map_err(|error| Error::io("flushing", &data, error))?;
        let _flight = self.store.flights().enter(&format!("volume {name}"));
        if self.get(name)?.is_some() {
            return Err(Error::Exists { what: "volume", name: name.to_owned(), holder: None });
        }
        // The record first: without data it is a removal that `recover` finishes.
        let volume = self.note(LOCAL, name, labels, &BTreeMap::new(), false)?;
        let place = self.store.paths().volumes().join(name);
        if let Err(error) = fs::rename(new, &place) {
            self.store.db().write_freeing(Durability::Power, |tx| {
                tx.prepare_cached("DELETE FROM volumes WHERE name = ?1")?.execute([name])?;
                Ok(())
            })?;
            return Err(Error::io("placing a volume at", place, error));
        }
        Ok(volume)
    }

    /// Notes a volume that its driver has made. It must not be known already.
    pub fn note(
        &self,
        driver: &str,
        name: &str,
        labels: &BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
        anonymous: bool,
    ) -> Result<Volume> {
        let volume = Volume {
            name: name.to_owned(),
            driver: driver.to_owned(),
            labels: labels.clone(),
            options: options.clone(),
            created_at: db::now(),
            anonymous,
            mountpoint: self.place(driver, name),
        };
        let (labels, options) = (db::encode("labels", labels)?, db::encode("options", options)?);
        self.store.db().write(Durability::Power, |tx| {
            tx.prepare_cached("INSERT INTO volumes VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                volume.name,
                volume.driver,
                labels,
                options,
                volume.created_at,
                volume.anonymous
            ])?;
            Ok(())
        })?;
        Ok(volume)
    }

    /// The volume of this name.
    pub fn get(&self, name: &str) -> Result<Option<Volume>> {
        let row = self.store.db().read(|db| {
            Ok(db.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?.query_row([name], raw).optional()?)
        })?;
        row.map(|row| self.finish(row)).transpose()
    }

    /// All volumes, by name.
    pub fn list(&self) -> Result<Vec<Volume>> {
        let rows: Vec<Raw> = self.store.db().read(|db| {
            let mut statement = db.prepare_cached(&format!("{SELECT} ORDER BY name"))?;
            Ok(statement.query_map([], raw)?.collect::<Result<_, _>>()?)
        })?;
        rows.into_iter().map(|row| self.finish(row)).collect()
    }

    /// Where the volume's data lies, whether or not it exists.
    pub fn data(&self, name: &str) -> PathBuf {
        self.store.paths().volumes().join(name).join("_data")
    }

    /// Deletes a volume, and its data if that lies here. Refused while a lease is on it. What is mounted on its
    /// directory must have been unmounted.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _flight = self.store.flights().enter(&format!("volume {name}"));
        self.store.db().write_freeing(Durability::Power, |tx| {
            let path = self.data(name);
            if is_mount(&path) {
                // Deleting would reach into what is mounted.
                return Err(Error::Invalid(format!("{}: device or resource busy", path.display())));
            }
            let holders = leases::holders(tx, &Resource::Volume(name.to_owned()))?;
            if !holders.is_empty() {
                return Err(Error::InUse { what: "volume", name: name.to_owned(), holders });
            }
            if tx.prepare_cached("DELETE FROM volumes WHERE name = ?1")?.execute([name])? == 0 {
                return Err(Error::not_found("volume", name));
            }
            if let Ok(dir) = open_dir(&path) {
                // Nothing depends on it: the number is the directory's, and no limit holds without a directory.
                let _kept = linux::quota::unlimit(dir.as_fd());
            }
            // Before the record goes: a record without data is a removal that `recover` can tell and finish, data
            // without a record could be anybody's.
            self.store.trash.discard(&self.store.paths().volumes().join(name))
        })
    }

    /// Finishes removals and undoes creations that a crash cut short. Data without a record is never touched.
    pub(crate) fn recover(&self) -> Result<()> {
        let known = self.list()?;
        for volume in known.iter().filter(|volume| volume.is_local() && !volume.mountpoint.exists()) {
            self.store.db().write_freeing(Durability::Power, |tx| {
                tx.prepare_cached("DELETE FROM volumes WHERE name = ?1")?.execute([&volume.name])?;
                Ok(())
            })?;
        }
        let root = self.store.paths().volumes();
        for entry in fs::read_dir(&root).at("listing", &root)? {
            let dir = entry.at("listing", &root)?.path();
            let is_known =
                known.iter().any(|volume| dir.file_name().is_some_and(|name| *name == *volume.name));
            if !is_known {
                // Each succeeds only for what is empty.
                let _kept = fs::remove_dir(dir.join("_data"));
                let _kept = fs::remove_dir(&dir);
            }
        }
        Ok(())
    }

    /// Bytes in a local volume, files only.
    pub fn usage(&self, name: &str) -> Result<u64> {
        Ok(crate::diff::measure(&self.data(name))?.bytes)
    }

    fn place(&self, driver: &str, name: &str) -> PathBuf {
        if driver == LOCAL { self.data(name) } else { PathBuf::new() }
    }

    fn finish(&self, row: Raw) -> Result<Volume> {
        Ok(Volume {
            mountpoint: self.place(&row.driver, &row.name),
            labels: db::decode("labels", &row.labels)?,
            options: db::decode("options", &row.options)?,
            name: row.name,
            driver: row.driver,
            created_at: row.created_at,
            anonymous: row.anonymous,
        })
    }
}

/// Whether something is mounted right there.
pub fn is_mount(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

const SELECT: &str = "SELECT name, driver, labels, options, created_at, anonymous FROM volumes";

struct Raw {
    name: String,
    driver: String,
    labels: String,
    options: String,
    created_at: String,
    anonymous: bool,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        name: row.get(0)?,
        driver: row.get(1)?,
        labels: row.get(2)?,
        options: row.get(3)?,
        created_at: row.get(4)?,
        anonymous: row.get(5)?,
    })
}

/// Docker's rule for names, which also keeps them inside the directory.
fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() > 1
        && name.len() <= 255
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if ok {
        return Ok(());
    }
    Err(Error::Invalid(if name.len() == 1 {
        "volume name is too short, names should be at least two alphanumeric characters".to_owned()
    } else {
        format!(
            "{name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" \
             are allowed. If you intended to pass a host directory, use absolute path"
        )
    }))
}

fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    for key in options.keys() {
        if !matches!(key.as_str(), "type" | "device" | "o" | "size") {
            return Err(Error::Invalid(format!("invalid option: {key:?}")));
        }
    }
    limit_of(options)?;
    for (key, wanted) in [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")] {
        let has = |key: &str| options.get(key).is_some_and(|value| !value.is_empty());
        if options.contains_key(key) && !has(wanted) {
            return Err(Error::Invalid(format!("missing required option: {wanted:?}")));
        }
    }
    Ok(())
}

/// How much it may hold, in bytes; 0 is as much as there is.
fn limit_of(options: &BTreeMap<String, String>) -> Result<Option<u64>> {
    let size = options.get("size").map(|text| types::parse_size(text, 1024)).transpose();
    Ok(size.map_err(Error::Invalid)?.filter(|bytes| *bytes > 0))
}

fn open_dir(path: &Path) -> Result<fs::File> {
    fs::File::open(path).at("opening", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_keep_their_facts_and_are_refused_while_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::Options { snapshotter: Some("copy".to_owned()) };
        let store = Store::open_with(dir.path(), &options).unwrap();
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let (made, new) = store.volumes().create("data", &labels, &BTreeMap::new(), false).unwrap();
        assert!(new && made.mountpoint.is_dir());
        let (again, new) = store.volumes().create("data", &BTreeMap::new(), &BTreeMap::new(), false).unwrap();
        assert_eq!((&again, new), (&made, false));
        fs::write(made.mountpoint.join("f"), b"12345").unwrap();
        assert_eq!(store.volumes().usage("data").unwrap(), 5);
        store.leases().add("c", &Resource::Volume("data".to_owned())).unwrap();
        assert!(matches!(store.volumes().remove("data"), Err(Error::InUse { .. })));
        store.leases().remove("c").unwrap();
        drop(store);
        let store = Store::open_with(dir.path(), &options).unwrap();
        assert_eq!(store.volumes().list().unwrap(), std::slice::from_ref(&made));
        store.volumes().remove("data").unwrap();
        assert!(!made.mountpoint.exists());
        assert!(store.volumes().remove("data").unwrap_err().is_not_found());
    }

    #[test]
    fn what_a_crash_cut_short_is_finished_or_undone_and_data_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::Options { snapshotter: Some("copy".to_owned()) };
        let store = Store::open_with(dir.path(), &options).unwrap();
        let make =
            |name: &str| store.volumes().create(name, &BTreeMap::new(), &BTreeMap::new(), true).unwrap().0;
        let (kept, removed) = (make("kept"), make("removed"));
        fs::remove_dir_all(removed.mountpoint.parent().unwrap()).unwrap();
        let [empty, foreign] = ["empty", "foreign"].map(|name| store.volumes().data(name));
        fs::create_dir_all(&empty).unwrap();
        fs::create_dir_all(&foreign).unwrap();
        fs::write(foreign.join("precious"), b"x").unwrap();
        drop(store);
        let store = Store::open_with(dir.path(), &options).unwrap();
        assert_eq!(store.volumes().list().unwrap(), [kept]);
        assert!(!empty.parent().unwrap().exists());
        assert!(foreign.join("precious").exists());
    }

    #[test]
    fn a_filled_volume_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::Options { snapshotter: Some("copy".to_owned()) };
        let store = Store::open_with(dir.path(), &options).unwrap();
        let fill =
            |text: &'static str| move |data: &Path| fs::write(data.join("f"), text).at("writing", data);
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let made = store.volumes().create_filled("copy", &labels, fill("one")).unwrap();
        assert_eq!((fs::read(made.mountpoint.join("f")).unwrap(), &made.labels), (b"one".to_vec(), &labels));
        let again = store.volumes().create_filled("copy", &labels, fill("two")).unwrap_err();
        assert!(matches!(again, Error::Exists { .. }), "{again}");
        let failed = store.volumes().create_filled("other", &labels, |data| {
            fs::write(data.join("f"), "half").at("writing", data)?;
            Err(Error::Invalid("the archive is cut".to_owned()))
        });
        assert!(matches!(failed, Err(Error::Invalid(_))));
        assert_eq!(store.volumes().list().unwrap(), [made]);
        store.trash.wait();
        for empty in [store.paths().tmp(), store.paths().trash()] {
            assert_eq!(fs::read_dir(empty).unwrap().count(), 0);
        }
    }

    #[test]
    fn bad_volume_names_and_options_are_refused() {
        for bad in ["", "a", "../x", "a/b", ".x", "a b", &"a".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        assert!(check_options(&map(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")])).is_ok());
        assert!(check_options(&map(&[("type", "none"), ("device", "x"), ("o", "bind")])).is_ok());
        assert!(check_options(&map(&[("device", "tmpfs"), ("o", "size=1m")])).is_err());
        assert!(check_options(&map(&[("colour", "red")])).is_err());
        assert!(check_options(&map(&[("type", "nfs")])).is_err());
        assert!(check_options(&map(&[("size", "1.5m")])).is_ok());
        let size = |text| check_options(&map(&[("size", text)])).unwrap_err().to_string();
        assert_eq!(size("abc"), "invalid size: 'abc'");
    }
    /// Only kernels with quotas of ext4 can show it: the guest of `make test-vm` has one.
    #[test]
    fn privileged_a_volume_holds_no_more_than_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let (image, root) = (dir.path().join("disk"), dir.path().join("root"));
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        fs::create_dir(&root).unwrap();
        let run = |words: &[&str]| {
            let done = std::process::Command::new(words[0]).args(&words[1..]).output();
            done.is_ok_and(|done| done.status.success())
        };
        let (image, mounted) = (image.to_str().unwrap(), root.to_str().unwrap());
        let made = run(&["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota", image]);
        if !made || !run(&["mount", "-t", "ext4", "-o", "loop,prjquota", image, mounted]) {
            eprintln!("not shown: no mkfs.ext4, or no project quotas in this kernel");
            return;
        }
        // Also when the test fails.
        struct Mounted<'a>(&'a Path);
        impl Drop for Mounted<'_> {
            fn drop(&mut self) {
                let _gone = rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH);
            }
        }
        let _mounted = Mounted(&root);
        let options = crate::Options { snapshotter: Some("copy".to_owned()) };
        let store = Store::open_with(&root, &options).unwrap();
        let size = |text: &str| BTreeMap::from([("size".to_owned(), text.to_owned())]);
        let (small, _) = store.volumes().create("small", &BTreeMap::new(), &size("1m"), false).unwrap();
        let (free, _) = store.volumes().create("free", &BTreeMap::new(), &size("0"), false).unwrap();
        fs::create_dir(small.mountpoint.join("below")).unwrap();
        let file = small.mountpoint.join("below/file");
        // As a container's process: CAP_SYS_RESOURCE is above limits.
        let writing = std::thread::spawn(move || {
            let left = linux::capabilities::own_permitted().unwrap() & !(1 << 24);
            linux::capabilities::set(left, left, 0).unwrap();
            fs::write(file, vec![1; 2 << 20])
        });
        let full = writing.join().unwrap().unwrap_err();
        assert_eq!(full.raw_os_error(), Some(rustix::io::Errno::DQUOT.raw_os_error()));
        fs::write(free.mountpoint.join("file"), vec![1; 2 << 20]).unwrap();
        store.volumes().remove("small").unwrap();
        store.trash.wait();
        // Its place is free again, and a limit that was is nobody's.
        let (again, _) = store.volumes().create("small", &BTreeMap::new(), &size("4m"), false).unwrap();
        fs::write(again.mountpoint.join("file"), vec![1; 2 << 20]).unwrap();
    }
}

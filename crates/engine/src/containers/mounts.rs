//! What users say about mounts: `Binds` (`source:target[:mode]`), `Mounts`, `Tmpfs`, `Volumes`. Pure but for the check
//! that a source exists (moby `volume/mounts/linux_parser.go`).

use std::collections::BTreeMap;
use std::path::Path;

use types::config::MountRequest;
use types::{Error, Result};

use super::record::MountRecord;
use super::view::MountPoint;

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];

/// Reads one of `Binds`. `driver` is the volume driver for names. That a wrong one is a 500 is Docker's.
pub(crate) fn parse_bind(raw: &str, driver: &str) -> Result<MountRecord> {
    let invalid = || Error::internal(format!("invalid volume specification: '{raw}'"));
    if raw.matches(':').count() > 2 {
        return Err(invalid());
    }
    let parts: Vec<&str> = raw.split(':').collect();
    if parts.first().is_none_or(|first| first.is_empty()) {
        return Err(invalid());
    }
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        // `/foo:rw`: a destination with a mode is not a volume.
        [_, mode] if Mode::parse(mode).is_some() => return Err(invalid()),
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(invalid()),
    };
    if target.is_empty() {
        return Err(invalid());
    }
    let modes = Mode::parse(mode).ok_or_else(|| Error::internal(format!("invalid mode: {mode}")))?;
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    let destination = clean_target(target).map_err(|why| {
        let config = format!("invalid mount config for type {kind:?}: {why}");
        Error::internal(format!("invalid volume specification: '{raw}': {config}"))
    })?;
    if source.starts_with('/') {
        if modes.no_copy {
            return Err(Error::internal(format!("invalid mode: {mode}")));
        }
        return Ok(MountRecord {
            point: MountPoint {
                kind: "bind".to_owned(),
                source: clean(source),
                destination,
                mode: mode.to_owned(),
                rw: !modes.read_only,
                propagation: modes.propagation.unwrap_or_else(|| "rprivate".to_owned()),
                ..MountPoint::default()
            },
            create_source: true,
            ..MountRecord::default()
        });
    }
    if modes.propagation.is_some() {
        return Err(invalid());
    }
    Ok(MountRecord {
        point: MountPoint {
            kind: "volume".to_owned(),
            name: source.to_owned(),
            destination,
            driver: if driver.is_empty() { "local".to_owned() } else { driver.to_owned() },
            // Docker shows its default for named volumes.
            mode: if mode.is_empty() { "z".to_owned() } else { mode.to_owned() },
            rw: !modes.read_only,
            ..MountPoint::default()
        },
        no_copy: modes.no_copy,
        anonymous: source.is_empty(),
        ..MountRecord::default()
    })
}

/// The third part of a bind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mode {
    read_only: bool,
    no_copy: bool,
    propagation: Option<String>,
}

impl Mode {
    /// `None` when a word is unknown or of a kind that was given before.
    fn parse(text: &str) -> Option<Self> {
        let mut mode = Self::default();
        if text.is_empty() {
            return Some(mode);
        }
        let (mut rw, mut label, mut copy, mut propagation) = (0, 0, 0, 0);
        for word in text.split(',') {
            match word {
                "rw" => rw += 1,
                "ro" => {
                    rw += 1;
                    mode.read_only = true;
                }
                "z" | "Z" => label += 1,
                "nocopy" => {
                    copy += 1;
                    mode.no_copy = true;
                }
                "consistent" | "cached" | "delegated" | "default" => {}
                word if PROPAGATIONS.contains(&word) => {
                    propagation += 1;
                    mode.propagation = Some(word.to_owned());
                }
                _ => return None,
            }
        }
        [rw, label, copy, propagation].iter().all(|n| *n <= 1).then_some(mode)
    }
}

/// Checks one of `Mounts` and reads it.
pub(crate) fn parse_mount(request: &MountRequest) -> Result<MountRecord> {
    let fail =
        |why: String| Error::invalid(format!("invalid mount config for type {:?}: {why}", request.kind));
    let must = |present: bool, field: &str| {
        if present { Ok(()) } else { Err(fail(format!("field {field} must not be empty"))) }
    };
    let must_not = |present: bool, field: &str| {
        if present { Err(fail(format!("field {field} must not be specified"))) } else { Ok(()) }
    };
    for (is_there, options, kind) in [
        (request.bind_options.is_some(), "BindOptions", "bind"),
        (request.volume_options.is_some(), "VolumeOptions", "volume"),
        (request.tmpfs_options.is_some(), "TmpfsOptions", "tmpfs"),
    ] {
        if is_there && request.kind != kind {
            let why = format!("{options} must not be specified on mount type {:?}", request.kind);
            return Err(Error::invalid(why));
        }
    }
    must(!request.target.is_empty(), "Target")?;
    let destination = clean_target(&request.target).map_err(fail)?;
    let mut record = MountRecord {
        point: MountPoint {
            kind: request.kind.clone(),
            destination,
            rw: !request.read_only,
            ..MountPoint::default()
        },
        ..MountRecord::default()
    };
    match request.kind.as_str() {
        "bind" => {
            must(!request.source.is_empty(), "Source")?;
            must_not(request.image_options.is_some(), "ImageOptions")?;
            let options = request.bind_options.clone().unwrap_or_default();
            if !options.propagation.is_empty() && !PROPAGATIONS.contains(&options.propagation.as_str()) {
                return Err(fail(format!("invalid propagation mode: {}", options.propagation)));
            }
            if !request.source.starts_with('/') {
                return Err(fail(format!(
                    "invalid mount path: '{}' mount path must be absolute",
                    request.source
                )));
            }
            if !options.create_mountpoint && !Path::new(&request.source).exists() {
                return Err(fail(format!("bind source path does not exist: {}", request.source)));
            }
            record.point.source = clean(&request.source);
            record.point.propagation =
                if options.propagation.is_empty() { "rprivate".to_owned() } else { options.propagation };
            record.non_recursive = options.non_recursive;
            record.read_only_non_recursive = options.read_only_non_recursive;
            record.create_source = options.create_mountpoint;
            record.owner_is_user = match options.owner.as_str() {
                "" => false,
                "me" => true,
                other => return Err(fail(format!("invalid owner: {other} (must be \"me\")"))),
            };
        }
        "volume" => {
            must_not(request.image_options.is_some(), "ImageOptions")?;
            if request.source.is_empty() && request.read_only {
                return Err(fail("must not set ReadOnly mode when using anonymous volumes".to_owned()));
            }
            let options = request.volume_options.clone().unwrap_or_default();
            check_subpath(&options.subpath).map_err(fail)?;
            let driver = options.driver_config.map(|config| config.name).unwrap_or_default();
            record.point.name = request.source.clone();
            record.point.driver = if driver.is_empty() { "local".to_owned() } else { driver };
            record.point.mode = "z".to_owned();
            record.no_copy = options.no_copy;
            record.subpath = options.subpath;
            record.anonymous = request.source.is_empty();
        }
        "tmpfs" => {
            must_not(request.image_options.is_some(), "ImageOptions")?;
            must_not(!request.source.is_empty(), "Source")?;
            record.tmpfs = tmpfs_options(request).map_err(fail)?;
        }
        "image" => {
            must(!request.source.is_empty(), "Source")?;
            let options = request.image_options.clone().unwrap_or_default();
            check_subpath(&options.subpath).map_err(fail)?;
            record.point.name = request.source.clone();
            record.point.rw = false;
            record.point.propagation = "rprivate".to_owned();
            record.subpath = options.subpath;
        }
        _ => return Err(fail("mount type unknown".to_owned())),
    }
    Ok(record)
}

fn check_subpath(path: &str) -> Result<(), String> {
    if Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Ok(());
    }
    // Docker says so of images, too.
    Err("subpath must be a relative path within the volume".to_owned())
}

/// At the start: options that contradict each other. That this is a 500, and told so late, is Docker's.
pub(crate) fn check_conflicts(mounts: &[MountRequest]) -> Result<()> {
    for mount in mounts {
        let options = mount.bind_options.as_ref();
        let non_recursive = options.is_some_and(|bind| bind.read_only_non_recursive);
        let recursive = options.is_some_and(|bind| bind.read_only_force_recursive);
        for (wrong, what) in [
            (!mount.read_only && non_recursive, "!ReadOnly && BindOptions.ReadOnlyNonRecursive"),
            (!mount.read_only && recursive, "!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
            (non_recursive && recursive, "ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive"),
        ] {
            if wrong {
                return Err(Error::internal(format!("mount options conflict: {what}")));
            }
        }
    }
    Ok(())
}

fn tmpfs_options(request: &MountRequest) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    if request.read_only {
        words.push("ro".to_owned());
    }
    let Some(options) = &request.tmpfs_options else { return Ok(words) };
    if let Some(mode) = options.mode.filter(|mode| *mode != 0) {
        words.push(format!("mode={mode:o}"));
    }
    if options.size_bytes != 0 {
        words.push(format!("size={}", options.size_bytes));
    }
    for option in options.options.iter().flatten() {
        match option.as_slice() {
            [flag] if flag == "exec" || flag == "noexec" => words.push(flag.clone()),
            [other] | [other, _] => return Err(format!("invalid option: {other}")),
            _ => return Err("invalid option array length".to_owned()),
        }
    }
    Ok(words)
}

/// Checks the destination of one of `HostConfig.Tmpfs`.
pub(crate) fn check_tmpfs_target(target: &str) -> Result<()> {
    clean_target(target).map(drop).map_err(Error::invalid)
}

/// A container path that may be mounted on.
fn clean_target(target: &str) -> Result<String, String> {
    if !target.starts_with('/') {
        return Err(format!("invalid mount path: '{target}' mount path must be absolute"));
    }
    match clean(target) {
        path if path == "/" => Err("invalid specification: destination can't be '/'".to_owned()),
        path => Ok(path),
    }
}

/// Go's `filepath.Clean` for absolute paths.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// All mounts a container asks for, by destination: volumes of other containers, then binds, then `Mounts`, then the
/// image's and the user's anonymous volumes. What comes later replaces what other containers brought; two of the same
/// destination otherwise are an error.
pub(crate) fn collect(
    inherited: Vec<MountRecord>,
    binds: &[String],
    driver: &str,
    mounts: &[MountRequest],
    tmpfs: &BTreeMap<String, String>,
    volumes: impl IntoIterator<Item = String>,
) -> Result<Vec<MountRecord>> {
    let mut by_target: BTreeMap<String, MountRecord> =
        inherited.into_iter().map(|m| (m.point.destination.clone(), m)).collect();
    let mut own: Vec<String> = Vec::new();
    let duplicate = |target: &str| Error::invalid(format!("Duplicate mount point: {target}"));
    let parsed = binds.iter().map(|raw| parse_bind(raw, driver)).chain(mounts.iter().map(parse_mount));
    for record in parsed {
        let record = record?;
        let target = record.point.destination.clone();
        if own.contains(&target) || tmpfs.keys().any(|t| clean(t) == target) {
            return Err(duplicate(&target));
        }
        own.push(target.clone());
        by_target.insert(target, record);
    }
    for target in volumes {
        let target = clean(&target);
        if target == "/" || by_target.contains_key(&target) || tmpfs.keys().any(|t| clean(t) == target) {
            continue;
        }
        let point = MountPoint {
            kind: "volume".to_owned(),
            destination: target.clone(),
            driver: "local".to_owned(),
            rw: true,
            ..MountPoint::default()
        };
        by_target.insert(target, MountRecord { point, anonymous: true, ..MountRecord::default() });
    }
    Ok(by_target.into_values().collect())
}

#[cfg(test)]
mod tests {
    use types::config::BindOptions;

    use super::*;

    #[test]
    fn binds_are_read_as_dockers() {
        // raw, (kind, name or source, destination, rw, mode, propagation)
        for (raw, want) in [
            ("/a:/b", Ok(("bind", "/a", "/b", true, "", "rprivate"))),
            ("/a/../c/:/b/", Ok(("bind", "/c", "/b", true, "", "rprivate"))),
            ("/a:/b:ro", Ok(("bind", "/a", "/b", false, "ro", "rprivate"))),
            ("/a:/b:ro,z,rshared", Ok(("bind", "/a", "/b", false, "ro,z,rshared", "rshared"))),
            ("vol:/b", Ok(("volume", "vol", "/b", true, "z", ""))),
            ("vol:/b:ro,nocopy", Ok(("volume", "vol", "/b", false, "ro,nocopy", ""))),
            ("/b", Ok(("volume", "", "/b", true, "z", ""))),
            ("/b:ro", Err("invalid volume specification: '/b:ro'")),
            ("/a:/b:x", Err("invalid mode: x")),
            ("/a:/b:ro,rw", Err("invalid mode: ro,rw")),
            ("/a:/b:nocopy", Err("invalid mode: nocopy")),
            ("vol:/b:rshared", Err("invalid volume specification: 'vol:/b:rshared'")),
            (":/b", Err("invalid volume specification: ':/b'")),
            ("a:b:c:d", Err("invalid volume specification: 'a:b:c:d'")),
            ("/a:", Err("invalid volume specification: '/a:'")),
            (
                "/a:/",
                Err(
                    "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
                ),
            ),
            (
                "/a:b",
                Err(
                    "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
                ),
            ),
        ] {
            let got = parse_bind(raw, "");
            match (&got, want) {
                (Ok(record), Ok((kind, from, to, rw, mode, propagation))) => {
                    let p = &record.point;
                    let source = if kind == "bind" { &p.source } else { &p.name };
                    let got = (
                        p.kind.as_str(),
                        source.as_str(),
                        p.destination.as_str(),
                        p.rw,
                        p.mode.as_str(),
                        p.propagation.as_str(),
                    );
                    assert_eq!(got, (kind, from, to, rw, mode, propagation), "{raw}");
                }
                (Err(error), Err(text)) => assert_eq!(error.message, text, "{raw}"),
                _ => panic!("{raw}: {got:?}"),
            }
        }
    }

    #[test]
    fn mounts_are_refused_in_dockers_words() {
        let mount = |kind: &str, source: &str, target: &str| MountRequest {
            kind: kind.to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            ..MountRequest::default()
        };
        for (request, want) in [
            (
                mount("bind", "/nosuch/dir", "/x"),
                r#"invalid mount config for type "bind": bind source path does not exist: /nosuch/dir"#,
            ),
            (
                mount("bind", "", "/x"),
                r#"invalid mount config for type "bind": field Source must not be empty"#,
            ),
            (
                mount("bind", "x", "/x"),
                r#"invalid mount config for type "bind": invalid mount path: 'x' mount path must be absolute"#,
            ),
            (mount("bad", "/tmp", "/x"), r#"invalid mount config for type "bad": mount type unknown"#),
            (
                MountRequest { bind_options: Some(BindOptions::default()), ..mount("image", "v", "/x") },
                r#"BindOptions must not be specified on mount type "image""#,
            ),
            (
                mount("image", "", "/x"),
                r#"invalid mount config for type "image": field Source must not be empty"#,
            ),
            (
                mount("volume", "v", ""),
                r#"invalid mount config for type "volume": field Target must not be empty"#,
            ),
            (
                mount("tmpfs", "v", "/x"),
                r#"invalid mount config for type "tmpfs": field Source must not be specified"#,
            ),
        ] {
            assert_eq!(parse_mount(&request).unwrap_err().message, want);
        }
    }

    #[test]
    fn two_mounts_on_one_target_are_an_error_but_a_volume_of_the_image_gives_way() {
        let binds = ["/tmp:/x".to_owned()];
        let none = BTreeMap::new();
        let all = collect(vec![], &binds, "", &[], &none, ["/x".to_owned(), "/y".to_owned()]).unwrap();
        let kinds: Vec<_> =
            all.iter().map(|m| (m.point.destination.as_str(), m.point.kind.as_str())).collect();
        assert_eq!(kinds, [("/x", "bind"), ("/y", "volume")]);
        let twice = ["/tmp:/x".to_owned(), "v:/x/".to_owned()];
        assert_eq!(
            collect(vec![], &twice, "", &[], &none, []).unwrap_err().message,
            "Duplicate mount point: /x"
        );
    }
}

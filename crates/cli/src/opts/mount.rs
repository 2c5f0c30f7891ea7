//! `--mount`.

use types::config::{BindOptions, DriverConfig, ImageOptions, MountRequest, TmpfsOptions, VolumeOptions};

use super::{csv, names, size};

/// `type=bind,source=...,target=...,...`.
pub(crate) fn parse(text: &str) -> Result<MountRequest, String> {
    let mut mount = MountRequest { kind: "volume".to_owned(), ..MountRequest::default() };
    for field in csv::fields(text)? {
        match field.split_once('=') {
            Some((key, value)) => set_pair(&mut mount, &field, &key.to_lowercase(), value)?,
            None => set_switch(&mut mount, &field)?,
        }
    }
    validate(&mount)?;
    Ok(mount)
}

/// Go makes the label map and the driver together with the options, so they are never absent.
fn volume(mount: &mut MountRequest) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_with(|| VolumeOptions {
        labels: None,
        driver_config: Some(DriverConfig::default()),
        ..VolumeOptions::default()
    })
}

fn bind(mount: &mut MountRequest) -> &mut BindOptions {
    mount.bind_options.get_or_insert_with(BindOptions::default)
}

fn set_switch(mount: &mut MountRequest, field: &str) -> Result<(), String> {
    match field.to_lowercase().as_str() {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => volume(mount).no_copy = true,
        "bind-nonrecursive" => bind(mount).non_recursive = true,
        _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn set_pair(mount: &mut MountRequest, field: &str, key: &str, value: &str) -> Result<(), String> {
    let invalid = || format!("invalid value for {key}: {value}");
    let switch = || crate::flags::parse_bool(value).ok_or_else(invalid);
    match key {
        "type" => mount.kind = value.to_lowercase(),
        "source" | "src" => {
            mount.source =
                if value.starts_with('.') { names::absolute_path(value) } else { value.to_owned() };
        }
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "readonly" | "ro" => mount.read_only = switch()?,
        "consistency" => mount.consistency = value.to_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = switch()?,
        "owner" => bind(mount).owner = value.to_owned(),
        "bind-recursive" => match value {
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = true,
            "writable" => bind(mount).read_only_non_recursive = true,
            "readonly" => bind(mount).read_only_force_recursive = true,
            _ => {
                return Err(format!(
                    "invalid value for {key}: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                ));
            }
        },
        "volume-subpath" => volume(mount).subpath = value.to_owned(),
        "volume-nocopy" => volume(mount).no_copy = switch()?,
        "volume-label" => {
            let (name, label) = value.split_once('=').unwrap_or((value, ""));
            if !name.is_empty() {
                volume(mount).labels.get_or_insert_default().insert(name.to_owned(), label.to_owned());
            }
        }
        "volume-driver" => volume(mount).driver_config.get_or_insert_default().name = value.to_owned(),
        "volume-opt" => {
            let (name, option) = value.split_once('=').unwrap_or((value, ""));
            let driver = volume(mount).driver_config.get_or_insert_default();
            let options = driver.options.get_or_insert_default();
            if !name.is_empty() {
                options.insert(name.to_owned(), option.to_owned());
            }
        }
        "image-subpath" => {
            mount.image_options.get_or_insert_with(ImageOptions::default).subpath = value.to_owned();
        }
        "tmpfs-size" => {
            let bytes = size::ram_in_bytes(value).map_err(|_| invalid())?;
            mount.tmpfs_options.get_or_insert_with(TmpfsOptions::default).size_bytes = bytes;
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8).map_err(|_| invalid())?;
            mount.tmpfs_options.get_or_insert_with(TmpfsOptions::default).mode = Some(mode);
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn validate(mount: &MountRequest) -> Result<(), String> {
    if mount.kind.is_empty() {
        return Err("type is required".to_owned());
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    for (given, kind) in [
        (mount.volume_options.is_some(), "volume"),
        (mount.image_options.is_some(), "image"),
        (mount.bind_options.is_some(), "bind"),
        (mount.tmpfs_options.is_some(), "tmpfs"),
    ] {
        if given && mount.kind != kind {
            return Err(format!("cannot mix '{kind}-*' options with mount type '{}'", mount.kind));
        }
    }
    let Some(bind) = &mount.bind_options else { return Ok(()) };
    if bind.read_only_non_recursive && !mount.read_only {
        return Err(
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction".to_owned()
        );
    }
    if bind.read_only_force_recursive {
        let requires = |what: &str| {
            Err(format!("option 'bind-recursive=readonly' requires '{what}' to be specified in conjunction"))
        };
        if !mount.read_only {
            return requires("readonly");
        }
        if bind.propagation != "rprivate" {
            return requires("bind-propagation=rprivate");
        }
    }
    Ok(())
}

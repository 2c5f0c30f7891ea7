//! Local volumes that are a file system of their own (`type`, `device`, `o`): mounted on their directory, on the host,
//! while a container uses them, so that all of them and the host's user see the same data.

use std::path::Path;

use rustix::mount::UnmountFlags;
use store::Volume;
use types::{Error, Result};

/// Mounts it, unless it is.
pub(super) fn mount(volume: &Volume, resolve: impl Fn(&str) -> Result<String>) -> Result<()> {
    if store::is_mount(&volume.mountpoint) {
        return Ok(());
    }
    let option = |key: &str| volume.options.get(key).map_or("", String::as_str);
    let (kind, device) = (option("type"), option("device"));
    let failed =
        |why: &str| Error::internal(format!("error while mounting volume '{}': {why}", path(volume)));
    let words = words(kind, option("o"), resolve).map_err(|error| failed(&error.message))?;
    runtime::mount_volume(kind, device, &volume.mountpoint, &words)
        .map_err(|error| failed(&format!("failed to mount local volume: {error}")))
}

/// Takes it off again. What is still open in it stays usable for whoever has it open.
pub(super) fn unmount(mountpoint: &Path) -> Result<()> {
    let mut tries = 0;
    // Several may lie on each other, if somebody else has mounted there too.
    while store::is_mount(mountpoint) && tries < 8 {
        rustix::mount::unmount(mountpoint, UnmountFlags::DETACH).map_err(|error| {
            let error = std::io::Error::from(error);
            Error::internal(format!("error unmounting volume {}: {error}", mountpoint.display()))
        })?;
        tries += 1;
    }
    Ok(())
}

fn path(volume: &Volume) -> std::borrow::Cow<'_, str> {
    volume.mountpoint.to_string_lossy()
}

/// The options one by one. The kernel knows no names: the address of a network file system's server is looked up.
fn words(kind: &str, options: &str, resolve: impl Fn(&str) -> Result<String>) -> Result<Vec<String>> {
    let over_network = kind.starts_with("nfs") || kind == "cifs";
    options
        .split(',')
        .filter(|word| !word.is_empty())
        .map(|word| match word.strip_prefix("addr=") {
            Some(name) if over_network && name.parse::<std::net::IpAddr>().is_err() => {
                let address = resolve(name).map_err(|error| {
                    let why = error.message;
                    Error::internal(format!("error resolving passed in network volume address: {why}"))
                })?;
                Ok(format!("addr={address}"))
            }
            _ => Ok(word.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_servers_are_looked_up() {
        let resolve = |name: &str| -> Result<String> {
            if name == "files" { Ok("10.0.0.9".to_owned()) } else { Err(Error::internal("no such host")) }
        };
        for (kind, options, want) in [
            ("nfs", "addr=files,ro", Ok("addr=10.0.0.9,ro")),
            ("nfs4", "addr=10.1.1.1,,nolock", Ok("addr=10.1.1.1,nolock")),
            ("cifs", "username=u,addr=files", Ok("username=u,addr=10.0.0.9")),
            ("tmpfs", "addr=files", Ok("addr=files")),
            ("nfs", "addr=other", Err("error resolving passed in network volume address: no such host")),
        ] {
            let got =
                words(kind, options, resolve).map(|words| words.join(",")).map_err(|error| error.message);
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{kind} {options}");
        }
    }
}

//! What a daemon has on its host at a moment, to compare with another moment.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::bed::{Bed, PATIENCE};
use crate::raw;

/// One line for everything that a daemon may leave behind: files, links, firewall rules, processes, cgroups, mounts.
pub(crate) fn take(bed: &Bed) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // A daemon that is still about to begin has not made what it needs.
    raw::must(bed, "GET", "/_ping", b"");
    let root = bed.inside("");
    for top in ["data", "run"] {
        walk(&bed.inside(top), &root, &mut found);
    }
    for line in bed.in_namespace("ip", &["-o", "link"]).ok().lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        found.insert(format!("link {}", name.split('@').next().unwrap_or_default()));
    }
    for line in bed.in_namespace("nft", &["list", "ruleset"]).ok().lines() {
        found.insert(format!("rule {}", line.trim()));
    }
    found.extend(bed.processes_beside().into_iter().map(|comm| format!("process {comm}")));
    found.extend(bed.leftover_cgroups().into_iter().map(|path| format!("cgroup {}", path.display())));
    found.extend(bed.leftover_mounts().into_iter().map(|line| format!("mount {line}")));
    found
}

fn walk(dir: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        // The database's size, the daemon's number, and that there is a name server say nothing.
        if name.starts_with("data/wharf.") || name.starts_with("run/relay") || name == "run/wharf.pid" {
            continue;
        }
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            found.insert(format!("dir {name}"));
            // A layer's tree is there or not.
            if !name.starts_with("data/overlay/") && !name.starts_with("data/erofs/") {
                walk(&path, root, found);
            }
        } else {
            // A container's own, which follow its networks.
            let follows = name.ends_with("/resolv.conf") || name.ends_with("/hosts");
            found.insert(format!("file {name} {}", if follows { 0 } else { meta.size() }));
        }
    }
}

/// Waits until the host is as it was: much is given back in the background.
#[track_caller]
pub(crate) fn wait_for(bed: &Bed, before: &BTreeSet<String>, what: &str) {
    let deadline = Instant::now() + PATIENCE / 3;
    loop {
        let now = take(bed);
        if now == *before {
            return;
        }
        if Instant::now() > deadline {
            let more: Vec<_> = now.difference(before).collect();
            let less: Vec<_> = before.difference(&now).collect();
            panic!("{what}: left behind {more:#?}, missing {less:#?}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

//! Which crate may use which: the table of ARCHITECTURE.md, held by `cargo metadata`.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// A crate and the crates of ours that it may use. Arrows point down only.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("linux", &["types"]),
    ("wire", &["types"]),
    ("runtime", &["linux", "types"]),
    ("supervisor", &["runtime", "linux", "types"]),
    ("tar", &[]),
    ("store", &["tar", "linux", "types"]),
    ("registry", &["store", "types"]),
    ("network", &["linux", "types"]),
    ("engine", &["store", "registry", "network", "supervisor", "runtime", "linux", "types"]),
    ("api", &["engine", "wire", "types"]),
    ("cli", &["wire", "registry", "tar", "types"]),
    (
        "wharf",
        &[
            "types",
            "linux",
            "wire",
            "runtime",
            "supervisor",
            "tar",
            "store",
            "registry",
            "network",
            "engine",
            "api",
            "cli",
        ],
    ),
    ("xtask", &["api", "cli"]),
    ("e2e", &[]),
];

/// Crates below `registry` and `network` are synchronous.
const SYNCHRONOUS: &[&str] = &["types", "linux", "runtime", "supervisor", "tar", "store"];

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = std::process::Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let empty = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&empty);
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("crate {name} is not in the table of xtask/src/arrows.rs"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().unwrap_or(&empty);
        for dependency in dependencies {
            let used = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"].as_str() == Some("dev");
            if ours.contains(&used) && !allowed.contains(&used) && !for_tests {
                faults.push(format!("{name} uses {used}: arrows point down only (ARCHITECTURE.md)"));
            }
            if SYNCHRONOUS.contains(&name) && used == "tokio" && !for_tests {
                faults.push(format!("{name} uses tokio: async starts at registry and network"));
            }
        }
    }
    Ok(faults)
}

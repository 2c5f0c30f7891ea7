//! Checks and chores of this workspace: `cargo xtask tidy | status | bench`.

mod arrows;
mod missing;
mod rules;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy      check crate arrows, STATUS.md and the house rules
       cargo xtask status    write STATUS.md anew from the code's own tables
       cargo xtask bench     measure a release build beside its peers (scripts/bench.py says how)";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("tidy") => tidy(),
        Some("status") => status::write(&root()),
        Some("bench") => bench(&words[1..]),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's own directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn tidy() -> anyhow::Result<()> {
    let root = root();
    let mut faults = arrows::check(&root)?;
    faults.extend(rules::check(&root)?);
    faults.extend(status::check(&root)?);
    for fault in &faults {
        eprintln!("{fault}");
    }
    anyhow::ensure!(faults.is_empty(), "tidy: {} faults", faults.len());
    println!("tidy: crate arrows, house rules and STATUS.md hold");
    Ok(())
}

fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let run = |program: &str, arguments: &[&str]| -> anyhow::Result<()> {
        let status = std::process::Command::new(program).args(arguments).current_dir(root()).status()?;
        anyhow::ensure!(status.success(), "{program} {} failed", arguments.join(" "));
        Ok(())
    };
    run("cargo", &["build", "--release", "-p", "wharf"])?;
    let mut words = vec!["scripts/bench.py"];
    words.extend(arguments.iter().map(String::as_str));
    run("python3", &words)
}

//! The transcripts of a real Docker 28.5.2: those beside the checkout (`../shared/parity`) and our own
//! (`tests/parity/cases`, in the same form). The runner is the one beside the checkout; without it both are skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bed::{Bed, repository, wharf_binary};

/// Cases that are the same as Docker's. One that is listed and differs fails the test.
const SAME: [&str; 12] = [
    "run_basic",
    "lifecycle",
    "exec",
    "logs",
    "networks",
    "ports",
    "images",
    "commit_export",
    "limits_security",
    "volumes",
    "ps_inspect_events",
    "restart_health",
];

/// The same of our own cases. Those in the folder that are not listed still differ.
const OURS_SAME: [&str; 21] = [
    "attach_tty",
    "events_stats",
    "exec_options",
    "failures",
    "flags_options",
    "flags_wrong",
    "images_more",
    "inspect_formats",
    "limits_more",
    "load_import",
    "logs_options",
    "mounts",
    "names_ids",
    "namespaces",
    "ps_options",
    "signals",
    "states",
    "top_diff",
    "update_restart",
    "volume_commands",
    "wait_remove",
];

fn run(client: Option<&Path>, cases: &[PathBuf]) {
    let parity = repository().join("../shared/parity");
    if !parity.join("run.py").exists() {
        eprintln!("skipped: no transcripts beside this checkout");
        return;
    }
    let bed = Bed::empty(&[]);
    // Where the daemon is, because some cases look at the host's ports.
    let mut command = Command::new("nsenter");
    command.args(["-t", &bed.pid().to_string(), "-n", "--", "python3"]);
    command.arg(parity.join("run.py")).args(["--dut", &bed.host()]);
    if let Some(client) = client {
        command.arg("--dut-cli").arg(client);
    }
    command.args(cases).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("run the transcripts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn recorded() -> Vec<PathBuf> {
    let folder = repository().join("../shared/parity/cases");
    SAME.map(|case| folder.join(format!("{case}.sh"))).to_vec()
}

#[test]
fn privileged_dockers_client_sees_what_it_saw_of_docker() {
    run(None, &recorded());
}

#[test]
fn privileged_dockers_client_sees_what_it_saw_of_docker_in_our_own_cases() {
    let own = repository().join("tests/parity/cases");
    run(None, &OURS_SAME.map(|case| own.join(format!("{case}.sh"))));
}

#[test]
fn privileged_our_client_prints_what_dockers_prints() {
    run(Some(&wharf_binary()), &recorded());
}

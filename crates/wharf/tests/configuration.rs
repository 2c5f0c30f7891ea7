//! What `wharf daemon` says about its configuration, without becoming a daemon.

use std::process::Command;

fn check(file: Option<&str>, args: &[&str], want: (i32, &str)) {
    let dir = tempfile::tempdir().expect("make a folder");
    let path = dir.path().join("daemon.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    command.args(["daemon", "--validate"]).args(args);
    if let Some(text) = file {
        std::fs::write(&path, text).expect("write the file");
        command.arg("--config-file").arg(&path);
    }
    let output = command.output().expect("run wharf");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim_end().to_owned();
    let said = said.replace(&*path.to_string_lossy(), "FILE");
    assert_eq!((output.status.code(), said.as_str()), (Some(want.0), want.1), "{file:?} {args:?}");
}

#[test]
fn a_good_configuration_is_ok() {
    check(Some("{}"), &[], (0, "configuration OK"));
    check(
        Some(r#"{"debug":true,"log-driver":"local","hosts":["unix:///x"]}"#),
        &["--mtu", "1400"],
        (0, "configuration OK"),
    );
}

#[test]
fn a_bad_configuration_is_refused_in_dockerds_words() {
    let prefix = "unable to configure the Docker daemon with file FILE: ";
    let unknown = format!("{prefix}the following directives don't match any configuration option: nope");
    check(Some(r#"{"nope":1}"#), &[], (1, &unknown));
    let conflict = format!(
        "{prefix}the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)"
    );
    check(Some(r#"{"debug":true}"#), &["-D"], (1, &conflict));
    check(
        Some(r#"{"userns-remap":"default"}"#),
        &[],
        (1, "userns-remap: default is not supported by this version of wharf yet"),
    );
    check(
        None,
        &["--config-file", "/nonexistent/x"],
        (
            1,
            "unable to configure the Docker daemon with file /nonexistent/x: open /nonexistent/x: no such file or directory",
        ),
    );
    check(None, &["--nosuch"], (1, "unknown flag: --nosuch\nSee 'wharf daemon --help'."));
}

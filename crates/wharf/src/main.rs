//! The binary: which program am I?
//!
//! | Called as | or with the first word | is |
//! |---|---|---|
//! | `wharf`, `docker` | | the command line |
//! | `dockerd` | `daemon` | the daemon |
//! | `wharf-runtime`, `runc` | `runtime` | the OCI runtime |
//! | `docker-credential-wharf` | `credential` | the helper that keeps registry credentials |
//! | | `registry` | the registry server, and what belongs to it |
//! | `docker-init` | `init` | the first process of a container started with `--init` |
//! | `wharf-zygote` | | what supervisors are forked from (only the daemon calls it) |
//! | `wharf-relay` | | containers' name server and IPv6 proxy (only the daemon calls it) |

mod daemon;
mod registry;

use std::ffi::OsString;
use std::path::Path;

/// A program in this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Cli,
    Daemon,
    Runtime,
    Registry,
    Init,
    Credential,
    Zygote,
    Relay,
}

/// Which program `args` ask for, and how many of them name it.
fn program(args: &[OsString]) -> (Program, usize) {
    let name = args
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let by_name = match name {
        "dockerd" => Some(Program::Daemon),
        "wharf-runtime" | "runc" => Some(Program::Runtime),
        "docker-init" => Some(Program::Init),
        "docker-credential-wharf" => Some(Program::Credential),
        name if name == supervisor::ZYGOTE_NAME => Some(Program::Zygote),
        name if name == engine::RELAY_NAME => Some(Program::Relay),
        _ => None,
    };
    if let Some(program) = by_name {
        return (program, 1);
    }
    match args.get(1).and_then(|word| word.to_str()) {
        Some("daemon") => (Program::Daemon, 2),
        Some("runtime") => (Program::Runtime, 2),
        Some("registry") => (Program::Registry, 2),
        Some("init") => (Program::Init, 2),
        Some("credential") => (Program::Credential, 2),
        _ => (Program::Cli, 0),
    }
}

fn main() {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (program, named_by) = program(&args);
    let rest = || args[named_by.min(args.len())..].to_vec();
    let code = match program {
        Program::Cli => cli::main(args),
        Program::Daemon => daemon::main(rest()),
        Program::Runtime => runtime::main(rest()),
        Program::Registry => registry::main(rest()),
        Program::Init => supervisor::init_main(&rest()),
        Program::Credential => cli::credential_main(&rest()),
        Program::Zygote => supervisor::zygote_main(),
        Program::Relay => engine::relay_main(),
    };
    std::process::exit(code);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_before_the_first_word() {
        for (line, want) in [
            ("wharf ps", (Program::Cli, 0)),
            ("/usr/bin/docker daemon", (Program::Daemon, 2)),
            ("wharf daemon -D", (Program::Daemon, 2)),
            ("/usr/bin/dockerd -D", (Program::Daemon, 1)),
            ("wharf runtime list", (Program::Runtime, 2)),
            ("wharf-runtime runtime", (Program::Runtime, 1)),
            ("/sbin/docker-init -- sh", (Program::Init, 1)),
            ("wharf init -- sh", (Program::Init, 2)),
            ("/usr/bin/docker-credential-wharf get", (Program::Credential, 1)),
            ("wharf credential list", (Program::Credential, 2)),
            ("wharf-zygote", (Program::Zygote, 1)),
            ("wharf-relay", (Program::Relay, 1)),
            ("", (Program::Cli, 0)),
        ] {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(program(&args), want, "{line}");
        }
    }
}

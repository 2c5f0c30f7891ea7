//! Hooks: programs run at points of the container's life (config.md, "POSIX-platform Hooks").

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::MemfdFlags;
use types::spec::{Hook, State};

use crate::error::{Context, Error, reason};

/// Runs hooks in order; each reads `state` on standard input. The first failure ends it.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &State) -> Result<(), Error> {
    if hooks.is_empty() {
        return Ok(());
    }
    let input = serde_json::to_vec(state).map_err(|error| Error::Failed(format!("encode state: {error}")))?;
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, &input).map_err(|why| {
            Error::Failed(format!("error running {kind} hook #{index}: {}: {why}", hook.path))
        })?;
    }
    Ok(())
}

/// Its output is only kept to explain a failure. Files in memory take it and give the state, so that no order of reading
/// and writing can block either side.
fn run_one(hook: &Hook, input: &[u8]) -> Result<(), Error> {
    let mut stdin = memory_file()?;
    stdin.write_all(input).and_then(|()| stdin.rewind()).doing(|| "write state".into())?;
    let mut output = memory_file()?;
    let handle = || output.try_clone().doing(|| "duplicate descriptor".into());

    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|pair| pair.split_once('=')));
    command.stdin(Stdio::from(stdin)).stdout(handle()?).stderr(handle()?);
    let mut child = command.spawn().map_err(|error| Error::Failed(reason(&error)))?;

    if let Some(timeout) = hook.timeout.filter(|timeout| *timeout > 0) {
        let pidfd = linux::pidfd::open(child.id() as i32).doing(|| "open process".into())?;
        let in_time = linux::pidfd::exited_within(pidfd.as_fd(), timeout as u64 * 1000);
        if !in_time.doing(|| "wait".into())? {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Failed(format!("ran past its timeout of {timeout} s")));
        }
    }
    let status = child.wait().doing(|| "wait".into())?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    let _ = output.rewind().and_then(|()| Read::by_ref(&mut output).take(1024).read_to_string(&mut text));
    Err(Error::Failed(format!("{status}: {}", text.trim_end())))
}

fn memory_file() -> Result<File, Error> {
    rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC)
        .map(File::from)
        .doing(|| "create memory file".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use types::spec::Status;

    fn check(script: &str, timeout: Option<i64>) -> Result<(), String> {
        let state = State {
            oci_version: "1.3.0".into(),
            id: "c1".into(),
            status: Status::Created,
            pid: 17,
            bundle: "/b".into(),
            annotations: BTreeMap::new(),
        };
        let args = vec!["sh".into(), "-c".into(), script.into()];
        let hook = Hook { path: "/bin/sh".into(), args, env: vec!["A=b".into()], timeout };
        run("poststart", &[hook], &state).map_err(|error| error.to_string())
    }

    #[test]
    fn a_hook_reads_the_state_and_has_only_its_environment() {
        let script = r#"read state; test "$A" = b && test -z "$HOME" &&
            test "$state" = '{"ociVersion":"1.3.0","id":"c1","status":"created","pid":17,"bundle":"/b"}'"#;
        // `read` fails without a final newline but has read the line.
        assert_eq!(check(script, Some(60)), Ok(()));
    }

    #[test]
    fn failure_and_timeout_are_told() {
        let error = check("echo why >&2; exit 3", None).unwrap_err();
        assert_eq!(error, "error running poststart hook #0: /bin/sh: exit status: 3: why");
        let error = check("sleep 60", Some(1)).unwrap_err();
        assert_eq!(error, "error running poststart hook #0: /bin/sh: ran past its timeout of 1 s");
    }
}

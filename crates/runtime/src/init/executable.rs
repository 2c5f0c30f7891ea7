//! Which file `argv[0]` names, with the errors that Docker's users know (those of Go's `exec.LookPath`).

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::error::{Error, reason};

/// Finds the executable: a name with a slash is taken as it is, others are looked for in `PATH` of `env`.
pub(super) fn find(name: &str, env: &[String]) -> Result<PathBuf, Error> {
    if name.contains('/') {
        return check(Path::new(name)).map(|()| PathBuf::from(name)).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => {
                Error::NotFound(format!("exec: {name:?}: stat {name}: {}", reason(&error.into())))
            }
            // Both reasons, as runc has it since 1.2.
            Errno::ISDIR => {
                Error::PermissionDenied(format!("exec: {name:?}: is a directory: permission denied"))
            }
            _ => Error::PermissionDenied(format!("exec: {name:?}: {}", reason(&error.into()))),
        });
    }
    let path = env.iter().rev().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or_default();
    let found = path.split(':').map(|dir| {
        let dir = if dir.is_empty() { Path::new(".") } else { Path::new(dir) };
        dir.join(name)
    });
    found
        .into_iter()
        .find(|candidate| !name.is_empty() && check(candidate).is_ok())
        .ok_or_else(|| Error::NotFound(format!("exec: {name:?}: executable file not found in $PATH")))
}

/// Whether the caller may execute the file.
fn check(path: &Path) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // A kernel or filter without faccessat2 says nothing about the file.
        Err(Errno::NOSYS | Errno::PERM) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(_) => Err(Errno::ACCESS),
        Ok(()) => Ok(()),
    }
}

/// Says why `execve` refused a file that was found.
pub(super) fn refused(path: &Path, error: &std::io::Error) -> Error {
    let text = format!("exec {}: {}", path.display(), reason(error));
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound(text),
        std::io::ErrorKind::PermissionDenied => Error::PermissionDenied(text),
        _ => Error::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, env: &[&str], expect: Result<&str, (&str, i32)>) {
        let env: Vec<String> = env.iter().map(ToString::to_string).collect();
        let got = find(name, &env);
        match expect {
            Ok(path) => assert_eq!(got.unwrap(), Path::new(path), "{name}"),
            Err((text, code)) => {
                let error = got.unwrap_err();
                assert_eq!((error.to_string().as_str(), error.exit_code()), (text, code), "{name}");
            }
        }
    }

    #[test]
    fn executables_are_found_and_errors_are_dockers() {
        check("sh", &["PATH=/nonexistent:/bin"], Ok("/bin/sh"));
        check("sh", &["PATH=/x", "PATH=/bin"], Ok("/bin/sh"));
        check("/bin/sh", &[], Ok("/bin/sh"));
        check("nosuch", &["PATH=/bin"], Err((r#"exec: "nosuch": executable file not found in $PATH"#, 127)));
        check("sh", &[], Err((r#"exec: "sh": executable file not found in $PATH"#, 127)));
        check("", &["PATH=/bin"], Err((r#"exec: "": executable file not found in $PATH"#, 127)));
        check(
            "/not-there",
            &[],
            Err((r#"exec: "/not-there": stat /not-there: no such file or directory"#, 127)),
        );
        check("/etc/passwd", &[], Err((r#"exec: "/etc/passwd": permission denied"#, 126)));
        check("/etc", &[], Err((r#"exec: "/etc": is a directory: permission denied"#, 126)));
    }
}

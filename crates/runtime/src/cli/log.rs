//! runc's log: lines of text or of JSON, to the file that the caller names. Callers read the last error from there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

use super::inspect::rfc3339;
use crate::error::{Context, Error};

/// Where messages go.
#[derive(Debug)]
pub(super) struct Log {
    file: Option<File>,
    json: bool,
    debug: bool,
}

impl Log {
    pub(super) fn open(path: Option<&Path>, json: bool, debug: bool) -> Result<Self, Error> {
        let open = |path: &Path| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .doing(|| format!("open log {}", path.display()))
        };
        Ok(Log { file: path.map(open).transpose()?, json, debug })
    }

    /// An error ends the command; it is also shown on standard error.
    pub(super) fn error(&self, text: &str) {
        if self.file.is_some() {
            eprintln!("{text}");
        }
        self.write("error", text);
    }

    pub(super) fn warn(&self, text: &str) {
        self.write("warning", text);
    }

    pub(super) fn debug(&self, text: &str) {
        if self.debug {
            self.write("debug", text);
        }
    }

    /// Nothing can be done about a log that cannot be written.
    fn write(&self, level: &str, text: &str) {
        let line = line(self.json, level, text, SystemTime::now());
        let _ = match self.file.as_ref() {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

fn line(as_json: bool, level: &str, text: &str, now: SystemTime) -> String {
    let time = rfc3339(now);
    if as_json {
        format!("{}\n", json!({ "level": level, "msg": text, "time": time }))
    } else {
        format!("time={time:?} level={level} msg={text:?}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_are_those_of_runc() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(
            line(false, "error", "a \"b\"", now),
            "time=\"2023-11-14T22:13:20Z\" level=error msg=\"a \\\"b\\\"\"\n"
        );
        assert_eq!(
            line(true, "error", "x", now),
            "{\"level\":\"error\",\"msg\":\"x\",\"time\":\"2023-11-14T22:13:20Z\"}\n"
        );
    }
}

//! `attach`: a stream to the standard descriptors, now or from the next start on.

use supervisor::Attach;
use types::{Error, Result};

use super::request::{AttachRequest, LogsRequest};
use super::state::Status;
use super::view::Attached;
use super::{Containers, Request, ask};

impl Containers {
    /// Attaches to its stdio. When it does not run, the stream is quiet until it is started.
    pub async fn attach(&self, name: &str, request: AttachRequest) -> Result<Attached> {
        let detach_keys = detach_keys(request.detach_keys.as_deref())?;
        let handle = self.find(name)?;
        let record = handle.record();
        let refused = match record.state.status() {
            Status::Paused => Some("is paused, unpause the container before attach"),
            Status::Restarting => Some("is restarting, wait until the container is running"),
            _ => None,
        };
        if let Some(why) = refused {
            return Err(Error::conflict(format!("container {name} {why}")));
        }
        let tty = record.config.tty;
        let history = if request.logs {
            let logs =
                LogsRequest { stdout: request.stdout, stderr: request.stderr, ..LogsRequest::default() };
            Some(self.read_logs(&handle, &logs)?)
        } else {
            None
        };
        // With no stream chosen there is nothing to wait for.
        let any = request.stdin || request.stdout || request.stderr;
        let stream = if request.stream && any {
            let attach = Attach {
                stdin: request.stdin && record.config.open_stdin,
                stdout: request.stdout,
                stderr: request.stderr,
                detach_keys,
                framed: None,
            };
            Some(ask(&handle, |reply| Request::Attach { attach, reply }).await?)
        } else {
            None
        };
        self.0.publish(&record, "attach", []);
        Ok(Attached { tty, history, stream })
    }
}

/// Fails unless these are keys as users write them.
pub fn check_detach_keys(text: &str) -> Result<()> {
    detach_keys(Some(text)).map(drop)
}

/// `ctrl-p,ctrl-q`, `a,b`: as bytes. `None` is Docker's default.
pub(crate) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Attach::DEFAULT_DETACH_KEYS.to_vec());
    };
    text.split(',')
        .map(|key| {
            let unknown = || Error::invalid(format!("Invalid detach keys ({text}) provided"));
            match key.as_bytes() {
                [one] => Ok(*one),
                [b'c', b't', b'r', b'l', b'-', one] => match one {
                    b'a'..=b'z' => Ok(one - b'a' + 1),
                    b'@' => Ok(0),
                    b'[' => Ok(27),
                    b'\\' => Ok(28),
                    b']' => Ok(29),
                    b'^' => Ok(30),
                    b'_' => Ok(31),
                    _ => Err(unknown()),
                },
                b"DEL" => Ok(127),
                _ => Err(unknown()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_read_as_dockers() {
        for (text, want) in [
            (None, Some(vec![16, 17])),
            (Some(""), Some(vec![16, 17])),
            (Some("ctrl-a,x"), Some(vec![1, b'x'])),
            (Some("ctrl-["), Some(vec![27])),
            (Some("ctrl-1"), None),
            (Some("ab"), None),
        ] {
            assert_eq!(detach_keys(text).ok(), want, "{text:?}");
        }
    }
}

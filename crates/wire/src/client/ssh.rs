//! A daemon on another machine: `ssh` runs Docker's client there, whose `system dial-stdio` joins its standard streams
//! with the daemon's socket.

use std::fmt;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::stream::{Relay, Relayed, Stream};

/// What of ssh's complaints is kept.
const COMPLAINTS_MAX: usize = 4096;
/// How long ssh may take to end after it has closed its output.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long its complaints may take to arrive after it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// `ssh://[USER@]HOST[:PORT][/SOCKET]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// The daemon's socket there; empty for the default.
    path: String,
}

impl SshTarget {
    /// Reads an address, or says in Docker's words what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("ssh://").ok_or("incorrect scheme")?;
        if let Some((_, fragment)) = rest.split_once('#').filter(|(_, fragment)| !fragment.is_empty()) {
            return Err(format!("fragments are not allowed: {fragment:?}"));
        }
        if let Some((_, query)) = rest.split_once('?').filter(|(_, query)| !query.is_empty()) {
            return Err(format!("query parameters are not allowed: {query:?}"));
        }
        let rest = rest.trim_end_matches(['#', '?']);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("plain-text password is not supported".to_owned());
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => bracketed
                .split_once(']')
                .map(|(host, after)| (host, after.strip_prefix(':').unwrap_or_default()))
                .ok_or("missing ']' in host")?,
            None => place.split_once(':').unwrap_or((place, "")),
        };
        if host.is_empty() {
            return Err("hostname is empty".to_owned());
        }
        let port = match port {
            "" => None,
            text => {
                Some(text.parse().map_err(|_| format!("invalid port {:?} after host", format!(":{text}")))?)
            }
        };
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, path: path.to_owned() })
    }

    /// What ssh is called with. Its last argument is read by a shell on the other side; those before it only by ssh,
    /// for which `--` ends the flags: a host called `-oProxyCommand=...` is a host.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(user) = &self.user {
            arguments.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["-o ConnectTimeout=30", "-T", "--"].map(str::to_owned));
        arguments.push(self.host.clone());
        let socket = match self.path.trim_matches('/') {
            "" => String::new(),
            _ => format!(" {}", quoted(&format!("--host=unix://{}", self.path))),
        };
        arguments.push(format!("docker{socket} system dial-stdio"));
        arguments
    }

    /// Starts ssh. Whether it gets through shows with the first answer.
    pub(super) fn connect(&self) -> io::Result<Stream> {
        let (ours, theirs) = UnixStream::pair()?;
        let arguments = self.arguments();
        let mut command = Command::new("ssh");
        command.args(&arguments).stderr(Stdio::piped());
        command.stdin(OwnedFd::from(theirs.try_clone()?)).stdout(OwnedFd::from(theirs));
        // Ctrl-C is for what runs in the container, not for the way there.
        command.process_group(0);
        let mut child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("exec: \"ssh\": {error}")))?;
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|stderr| {
            let kept = Arc::clone(&complaints);
            thread::spawn(move || keep_beginning(stderr, &kept))
        });
        let relay = Ssh { child: Mutex::new(child), arguments, complaints, reader };
        Ok(Stream::Relayed(Relayed { stream: ours, relay: Arc::new(relay) }))
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    match word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Reads to the end, so that ssh never waits for us, and keeps the beginning.
fn keep_beginning(mut input: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = input.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = COMPLAINTS_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

#[derive(Debug)]
struct Ssh {
    child: Mutex<Child>,
    arguments: Vec<String>,
    complaints: Arc<Mutex<Vec<u8>>>,
    /// Ends with the last process that may complain.
    reader: Option<JoinHandle<()>>,
}

impl Relay for Ssh {
    fn fault(&self) -> Option<String> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(None) => return Some("ssh closed the connection and did not exit".to_owned()),
                Err(error) => return Some(format!("waiting for ssh: {error}")),
            }
        };
        if status.success() {
            return None;
        }
        // What ssh started may hold its standard error longer than is worth waiting for.
        let deadline = Instant::now() + LAST_WORDS;
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let said = match status.code() {
            Some(code) => format!("exit status {code}"),
            None => status.to_string(),
        };
        Some(format!(
            "command [ssh {}] has exited with {said}, make sure the URL is valid, and Docker 18.09 or later is installed on \
             the remote host: stderr={}",
            self.arguments.join(" "),
            String::from_utf8_lossy(&complaints)
        ))
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Our end of its streams is closed, so it ends; a client that lives on must not keep its remains.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_arguments_that_no_shell_can_misread() {
        for (text, want) in [
            ("ssh://far", "-o ConnectTimeout=30|-T|--|far|docker system dial-stdio"),
            ("ssh://me@far:22/", "-l|me|-p|22|-o ConnectTimeout=30|-T|--|far|docker system dial-stdio"),
            (
                "ssh://[::1]/run/w.sock",
                "-o ConnectTimeout=30|-T|--|::1|docker --host=unix:///run/w.sock system dial-stdio",
            ),
            (
                "ssh://-oProxyCommand=x/a;b'c",
                "-o ConnectTimeout=30|-T|--|-oProxyCommand=x|docker '--host=unix:///a;b'\\''c' system dial-stdio",
            ),
        ] {
            assert_eq!(SshTarget::parse(text).unwrap().arguments().join("|"), want, "{text}");
        }
        for (text, want) in [
            ("ssh://", "hostname is empty"),
            ("ssh://me:secret@far", "plain-text password is not supported"),
            ("ssh://far/x?a=b", "query parameters are not allowed: \"a=b\""),
            ("ssh://far#x", "fragments are not allowed: \"x\""),
            ("ssh://far:port", "invalid port \":port\" after host"),
        ] {
            assert_eq!(SshTarget::parse(text).unwrap_err(), want, "{text}");
        }
    }
}

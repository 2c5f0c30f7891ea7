//! A D-Bus client with just what talking to systemd needs: one blocking connection, method calls, one signal to wait
//! for. Source: the D-Bus specification 0.43 ("Message Protocol", "Authentication Protocol", "Server Addresses").

mod text;
mod wire;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

pub use text::parse_value;
use wire::Reader;
pub use wire::{Body, Value};

/// How long a peer may take to answer a call.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longer messages are refused; the specification's own bound is 128 MiB.
const MESSAGE_MAX: usize = 16 << 20;
/// Of an authentication.
const LINE_MAX: usize = 512;
/// Signals that nobody has waited for yet; older ones are forgotten.
const SIGNALS_MAX: usize = 1024;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer's answer was an error: its name and its text.
    #[error("{text}")]
    Remote {
        /// Such as `org.freedesktop.systemd1.UnitExists`.
        name: String,
        /// For people.
        text: String,
    },
    /// The peer refused us.
    #[error("authentication failed: {0}")]
    Refused(String),
    /// No address that this client can use.
    #[error("unsupported D-Bus address {0:?}")]
    Address(String),
}

/// Whom a call goes to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Bus name of the peer; unused on a direct connection.
    pub destination: &'a str,
    /// Object.
    pub path: &'a str,
    /// Interface of the method.
    pub interface: &'a str,
}

const BUS: Target<'_> = Target {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// A received message, as far as it matters here.
#[derive(Debug, Default)]
struct Message {
    kind: u8,
    reply_to: u32,
    interface: String,
    member: String,
    error: String,
    body: Vec<u8>,
}

const CALL: u8 = 1;
pub(crate) const REPLY: u8 = 2;
pub(crate) const FAILURE: u8 = 3;
pub(crate) const SIGNAL: u8 = 4;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    serial: u32,
    signals: VecDeque<Message>,
}

impl Connection {
    /// Connects to a bus and says hello. `addresses` is a list as in `DBUS_SESSION_BUS_ADDRESS`.
    pub fn to_bus(addresses: &str) -> Result<Self, Error> {
        let mut connection = Self::direct(addresses)?;
        connection.call(BUS, "Hello", Body::default())?;
        Ok(connection)
    }

    /// Connects to a peer that is no bus.
    pub fn direct(addresses: &str) -> Result<Self, Error> {
        let mut failure = Error::Address(addresses.to_owned());
        for address in addresses.split(';').filter(|address| !address.is_empty()) {
            match connect(address) {
                Ok(stream) => {
                    let mut connection = Connection { stream, serial: 0, signals: VecDeque::new() };
                    connection.authenticate()?;
                    return Ok(connection);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// `EXTERNAL` without a name: the peer asks the kernel who we are. (In a user namespace we do not know what we are called
    /// outside of it.)
    fn authenticate(&mut self) -> Result<(), Error> {
        self.stream.set_read_timeout(Some(ANSWER_MAX))?;
        self.stream.set_write_timeout(Some(ANSWER_MAX))?;
        self.stream.write_all(b"\0AUTH EXTERNAL\r\n")?;
        let mut line = self.line()?;
        if line.starts_with("DATA") {
            self.stream.write_all(b"DATA\r\n")?;
            line = self.line()?;
        }
        if !line.starts_with("OK ") {
            return Err(Error::Refused(line));
        }
        self.stream.write_all(b"BEGIN\r\n")?;
        Ok(())
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > LINE_MAX {
                return Err(Error::Refused("the answer is too long".into()));
            }
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Has the bus pass on signals that match (`type='signal',member='...'`).
    pub fn subscribe(&mut self, rule: &str) -> Result<(), Error> {
        self.call(BUS, "AddMatch", Body::default().string(rule)).map(drop)
    }

    /// Calls a method and waits for its answer.
    pub fn call(&mut self, target: Target<'_>, member: &str, body: Body) -> Result<Answer, Error> {
        self.serial += 1;
        let serial = self.serial;
        self.stream.write_all(&encode(serial, target, member, &body)?)?;
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            let message = self.receive(deadline)?;
            match message.kind {
                REPLY if message.reply_to == serial => return Ok(Answer(message.body)),
                FAILURE if message.reply_to == serial => {
                    let text = Reader::new(&message.body).string().unwrap_or_default();
                    let text = if text.is_empty() { message.error.clone() } else { text.to_owned() };
                    return Err(Error::Remote { name: message.error, text });
                }
                SIGNAL => self.keep(message),
                _ => {} // Answers that nobody waits for any more, and calls: nobody has our name.
            }
        }
    }

    fn keep(&mut self, message: Message) {
        if self.signals.len() == SIGNALS_MAX {
            self.signals.pop_front();
        }
        self.signals.push_back(message);
    }

    /// Waits for a signal whose arguments `pick` takes an interest in; `None` when `timeout` is over.
    pub fn wait_for_signal<T>(
        &mut self,
        interface: &str,
        member: &str,
        timeout: Duration,
        pick: impl Fn(&Answer) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let deadline = Instant::now() + timeout;
        let mut kept = std::mem::take(&mut self.signals);
        loop {
            let message = match kept.pop_front() {
                Some(message) => message,
                None => match self.receive(deadline) {
                    Ok(message) => message,
                    Err(error) if is_timeout(&error) => return Ok(None),
                    Err(error) => return Err(error.into()),
                },
            };
            if message.kind == SIGNAL
                && message.interface == interface
                && message.member == member
                && let Some(found) = pick(&Answer(message.body))
            {
                return Ok(Some(found));
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Message> {
        let mut fixed = [0; 16];
        read_until(&mut self.stream, &mut fixed, deadline)?;
        let lengths = |at: usize| fixed[at..at + 4].try_into().map_or(0, u32::from_le_bytes) as usize;
        let (body, fields) = (lengths(4), lengths(12));
        if fixed[0] != b'l' || fixed[3] != 1 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a D-Bus message of another byte order or version",
            ));
        }
        if body > MESSAGE_MAX || fields > MESSAGE_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a D-Bus message is too long"));
        }
        let mut header = vec![0; fields.next_multiple_of(8)];
        read_until(&mut self.stream, &mut header, deadline)?;
        let mut message = Message { kind: fixed[1], body: vec![0; body], ..Message::default() };
        read_until(&mut self.stream, &mut message.body, deadline)?;
        message.read_fields(&header[..fields])?;
        Ok(message)
    }
}

impl Message {
    /// The array of header fields, `a(yv)`; it starts at a multiple of 8.
    fn read_fields(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut reader = Reader::new(bytes);
        while !reader.is_at_end() {
            reader.align(8);
            if reader.is_at_end() {
                return Ok(());
            }
            let code = reader.byte()?;
            if code == HEADER_REPLY_SERIAL {
                reader.signature()?;
                self.reply_to = reader.u32()?;
                continue;
            }
            let text = reader.text_variant()?.unwrap_or_default().to_owned();
            match code {
                HEADER_INTERFACE => self.interface = text,
                HEADER_MEMBER => self.member = text,
                HEADER_ERROR_NAME => self.error = text,
                _ => {}
            }
        }
        Ok(())
    }
}

pub(crate) const HEADER_PATH: u8 = 1;
pub(crate) const HEADER_INTERFACE: u8 = 2;
pub(crate) const HEADER_MEMBER: u8 = 3;
pub(crate) const HEADER_ERROR_NAME: u8 = 4;
pub(crate) const HEADER_REPLY_SERIAL: u8 = 5;
pub(crate) const HEADER_DESTINATION: u8 = 6;
pub(crate) const HEADER_SIGNATURE: u8 = 8;

/// A method call.
fn encode(serial: u32, target: Target<'_>, member: &str, body: &Body) -> io::Result<Vec<u8>> {
    let mut bytes = vec![b'l', CALL, 0, 1];
    wire::put_u32(&mut bytes, body.bytes.len() as u32);
    wire::put_u32(&mut bytes, serial);
    wire::put_u32(&mut bytes, 0);
    let start = bytes.len();
    let mut field = |code: u8, kind: &str, text: &str| {
        wire::align(&mut bytes, 8);
        bytes.push(code);
        wire::put_signature(&mut bytes, kind);
        if kind == "g" {
            wire::put_signature(&mut bytes, text);
        } else {
            wire::put_string(&mut bytes, text);
        }
    };
    field(HEADER_PATH, "o", target.path);
    field(HEADER_DESTINATION, "s", target.destination);
    field(HEADER_INTERFACE, "s", target.interface);
    field(HEADER_MEMBER, "s", member);
    if !body.signature.is_empty() {
        field(HEADER_SIGNATURE, "g", &body.signature);
    }
    let length = (bytes.len() - start) as u32;
    bytes[start - 4..start].copy_from_slice(&length.to_le_bytes());
    wire::align(&mut bytes, 8);
    bytes.extend_from_slice(&body.bytes);
    if bytes.len() > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the D-Bus message is too long"));
    }
    Ok(bytes)
}

/// The arguments of an answer or a signal.
#[derive(Debug)]
pub struct Answer(Vec<u8>);

impl Answer {
    /// The text in a variant that is the only argument (`Properties.Get`).
    pub fn text_variant(&self) -> io::Result<Option<String>> {
        Ok(Reader::new(&self.0).text_variant()?.map(str::to_owned))
    }

    /// The unit and the result of systemd's `JobRemoved` (`uoss`).
    pub fn job_removed(&self) -> io::Result<(String, String, String)> {
        let mut reader = Reader::new(&self.0);
        reader.u32()?;
        let job = reader.string()?.to_owned();
        Ok((job, reader.string()?.to_owned(), reader.string()?.to_owned()))
    }

    /// A string or an object path that is the first argument.
    pub fn string(&self) -> io::Result<String> {
        Ok(Reader::new(&self.0).string()?.to_owned())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn read_until(stream: &mut UnixStream, bytes: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `unix:path=/run/dbus/system_bus_socket` or `unix:abstract=...`, with what else stands there passed over.
fn connect(address: &str) -> Result<UnixStream, Error> {
    let unsupported = || Error::Address(address.to_owned());
    let parameters = address.strip_prefix("unix:").ok_or_else(unsupported)?;
    for parameter in parameters.split(',') {
        if let Some(path) = parameter.strip_prefix("path=") {
            return Ok(UnixStream::connect(unescape(path).ok_or_else(unsupported)?)?);
        }
        if let Some(name) = parameter.strip_prefix("abstract=") {
            let name = unescape(name).ok_or_else(unsupported)?;
            return Ok(UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?);
        }
    }
    Err(unsupported())
}

/// `%2f` is a byte.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push((digit()? * 16 + digit()?) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The address of a bus socket at `path`.
pub fn address_of(path: &str) -> String {
    let mut address = String::from("unix:path=");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02x}"));
        }
    }
    address
}

#[cfg(test)]
pub(crate) mod tests;

//! TLS towards a daemon. A thread holds the encrypted connection and gives the rest of the program one end of a pair of
//! sockets, because attaching reads and writes at once and closes its halves one by one.
//!
//! ```text
//!   Stream::Relayed <==pair of sockets==> thread: rustls <==TCP==> daemon
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::stream::{Relay, Relayed, Stream};

/// Bytes moved at once.
const BUFFER: usize = 64 * 1024;

/// Whom to believe, and who we are; all certificates and keys in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Authorities; the system's when there are none.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate with those above it.
    pub cert: Option<Vec<u8>>,
    /// Its private key.
    pub key: Option<Vec<u8>>,
    /// Believe everybody.
    pub skip_verify: bool,
}

impl TlsOptions {
    /// Whether certificates and key can be used at all, in Docker's words.
    pub fn check(&self) -> Result<(), String> {
        self.config().map(drop)
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "no valid private key found")?;
        builder
            .with_client_auth_cert(certificates(cert, "cert.pem")?, key)
            .map_err(|error| format!("failed to retrieve context tls info: {error}"))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let trusted = match &self.ca {
            Some(ca) => certificates(ca, "ca.pem")?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let (added, _) = roots.add_parsable_certificates(trusted);
        match added {
            0 if self.ca.is_some() => Err(invalid_file("ca.pem")),
            _ => Ok(roots),
        }
    }
}

fn invalid_file(name: &str) -> String {
    format!("failed to retrieve context tls info: {name} seems invalid")
}

fn certificates(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| invalid_file(name))
}

/// Shakes hands over a connection and hands it to a thread of its own.
pub(super) fn connect(mut tcp: TcpStream, name: &str, options: &TlsOptions) -> io::Result<Stream> {
    let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let config = options.config().map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::new(config), server).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp).map_err(explain)?;
    }
    tcp.set_nonblocking(true)?;
    let (ours, theirs) = UnixStream::pair()?;
    theirs.set_nonblocking(true)?;
    let fault = Arc::new(Fault::default());
    let relay = Arc::clone(&fault);
    let pump = Pump { session, tcp, local: theirs, down: Vec::new() };
    thread::spawn(move || pump.run(&fault));
    Ok(Stream::Relayed(Relayed { stream: ours, relay }))
}

/// Go's `tls:` in front of what is about TLS.
fn explain(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            io::Error::other(format!("tls: failed to verify certificate: x509: {why}"))
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            io::Error::other(format!("remote error: tls: {}", spaced(&format!("{alert:?}"))))
        }
        Some(other) => io::Error::other(format!("tls: {other}")),
        None => error,
    }
}

/// `CertificateRequired` as `certificate required`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// Why the thread ended early.
#[derive(Debug, Default)]
struct Fault(Mutex<Option<String>>);

impl Relay for Fault {
    fn fault(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Pump {
    session: ClientConnection,
    tcp: TcpStream,
    local: UnixStream,
    /// Decrypted and not yet taken.
    down: Vec<u8>,
}

impl Pump {
    /// Moves bytes both ways until the daemon has said its last word or nobody listens to it here.
    fn run(mut self, fault: &Fault) {
        if let Err(error) = self.exchange() {
            *fault.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(explain(error).to_string());
        }
        // What came before a fault is delivered, and the fault, which is known by now, after it. When nobody is there to
        // take it, there is nobody to tell either.
        let _ = self.local.set_nonblocking(false);
        let _ = self.local.write_all(&self.down).and_then(|()| self.local.shutdown(Shutdown::Write));
    }

    fn exchange(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut has_input = true;
        loop {
            if self.down.is_empty() {
                match self.session.reader().read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => self.down.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // A daemon that closes without saying goodbye; HTTP knows whether something is missing.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            let (sending, taking) = (self.session.wants_write(), self.down.is_empty());
            let flags = |read: bool, write: bool| {
                let read = if read { PollFlags::IN } else { PollFlags::empty() };
                read | if write { PollFlags::OUT } else { PollFlags::empty() }
            };
            let mut waiting = [
                PollFd::new(&self.tcp, flags(taking, sending)),
                PollFd::new(&self.local, flags(has_input && !sending, !taking)),
            ];
            match poll(&mut waiting, None) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result.map_err(io::Error::from)?,
            };
            let [tcp, local] = waiting.map(|one| one.revents());
            if tcp.contains(PollFlags::OUT) {
                again(self.session.write_tls(&mut self.tcp))?;
            }
            if taking && tcp.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                again(self.session.read_tls(&mut self.tcp))?;
                if let Err(error) = self.session.process_new_packets() {
                    // The other side is told why, if it still listens.
                    let _ = self.session.write_tls(&mut self.tcp);
                    return Err(io::Error::other(error));
                }
            }
            if local.contains(PollFlags::OUT) {
                let count = again(self.local.write(&self.down))?;
                self.down.drain(..count);
            }
            if has_input && local.intersects(PollFlags::IN | PollFlags::HUP) {
                match self.local.read(&mut buffer) {
                    Ok(0) => {
                        has_input = false;
                        self.session.send_close_notify();
                    }
                    Ok(count) => self.session.writer().write_all(&buffer[..count])?,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            } else if !has_input && !sending && local.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.down.clear();
                return Ok(());
            }
        }
    }
}

/// Nothing moved is no error on a socket that does not wait.
fn again(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        result => result,
    }
}

/// Accepts every certificate, as `--tls` without `--tlsverify` asks for; signatures of the handshake are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

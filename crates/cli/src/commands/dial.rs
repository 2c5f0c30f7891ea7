//! `docker system dial-stdio`: joins the standard streams with the daemon's socket, for a client on the other end of ssh.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;

use crate::context::Context;
use crate::flags::Parsed;
use crate::{Failure, Outcome, os_error};

/// Bytes moved at once.
const BUFFER: usize = 64 * 1024;

/// `docker system dial-stdio`.
pub(crate) fn run(context: &Context, _: &Parsed) -> Outcome {
    let failed = |error: io::Error| Failure::new(os_error(&error));
    let mut connection = context
        .client()?
        .host()
        .connect()
        .map_err(|error| Failure::new(format!("failed to open the raw stream connection: {error}")))?;
    let mut upward = connection.try_clone().map_err(failed)?;
    let (ended, has_ended) = mpsc::channel();
    let input = ended.clone();
    thread::spawn(move || {
        let copied = copy(&mut io::stdin().lock(), &mut upward);
        // The daemon's answer may still be on its way.
        let _ = upward.shutdown(Shutdown::Write);
        if let Err(error) = copied {
            let _ = input.send(Err(format!("error while Copy (stdin to stream): {}", os_error(&error))));
        }
    });
    thread::spawn(move || {
        let copied = copy(&mut connection, &mut io::stdout().lock());
        let _ = ended.send(
            copied.map_err(|error| format!("error while Copy (stream to stdout): {}", os_error(&error))),
        );
    });
    // The end of the daemon's words is the end; whoever types has perhaps not noticed.
    match has_ended.recv() {
        Ok(Err(message)) => Err(Failure::new(message)),
        _ => Ok(()),
    }
}

/// Copies until the end; what has come is passed on at once.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(&buffer[..count])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

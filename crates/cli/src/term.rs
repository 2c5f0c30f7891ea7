//! The terminal: whether there is one, its size, raw mode.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{self, OptionalActions, Termios};

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Height and width of the terminal on standard output; zeros when it is none.
pub(crate) fn size() -> [u32; 2] {
    if !stdout_is_terminal() {
        return [0, 0];
    }
    termios::tcgetwinsize(rustix::stdio::stdout())
        .map_or([0, 0], |size| [size.ws_row.into(), size.ws_col.into()])
}

/// What the terminal on standard input was before raw mode; restored once, by whoever comes first.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Puts the terminal on standard input into raw mode, if it is one.
pub(crate) fn set_raw() -> Result<(), String> {
    if !stdin_is_terminal() {
        return Ok(());
    }
    let stdin = rustix::stdio::stdin();
    let failed = |error: rustix::io::Errno| format!("unable to set IO streams as raw terminal: {error}");
    let before = termios::tcgetattr(stdin).map_err(failed)?;
    let mut raw = before.clone();
    raw.make_raw();
    termios::tcsetattr(stdin, OptionalActions::Now, &raw).map_err(failed)?;
    *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    Ok(())
}

/// Ends raw mode, if it was begun.
pub(crate) fn restore() {
    if let Some(before) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // The terminal may be gone, and then nobody is left to see it.
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before);
    }
}

/// What is typed on the terminal is not shown until this is dropped.
pub(crate) struct Hidden(Termios);

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal may be gone, and then nobody is left to see it.
        let _ = termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Hides what is typed, as for a password.
pub(crate) fn hide_typing() -> Result<Hidden, String> {
    let stdin = rustix::stdio::stdin();
    let failed = |error: rustix::io::Errno| format!("unable to disable echo: {error}");
    let before = termios::tcgetattr(stdin).map_err(failed)?;
    let mut silent = before.clone();
    silent.local_modes.remove(termios::LocalModes::ECHO);
    termios::tcsetattr(stdin, OptionalActions::Now, &silent).map_err(failed)?;
    Ok(Hidden(before))
}

//! Signals to this process: passed on to the container, or a change of the terminal's size.
//!
//! They are received on a thread of their own, whose little runtime exists only in commands that attach.

use std::sync::mpsc;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Linux numbers of what may be passed on, with the names that the API takes. SIGCHLD, SIGPIPE and SIGURG are this
/// process's own business, SIGKILL and SIGSTOP cannot be caught, SIGSEGV and its like mean that we are broken.
const FORWARDED: [(i32, &str); 22] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (5, "TRAP"),
    (6, "ABRT"),
    (10, "USR1"),
    (12, "USR2"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (18, "CONT"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (30, "PWR"),
    (31, "SYS"),
];
const WINDOW_CHANGED: i32 = 28;

/// A thread on its way to receiving signals. Until it is there, they do what they do by default.
#[must_use]
pub(crate) struct Ready(mpsc::Receiver<()>);

impl Ready {
    /// Waits until signals are received.
    pub(crate) fn wait(self) {
        // An error means that the thread could not set signals up: they then do what they do by default.
        let _ = self.0.recv();
    }
}

/// Receives every signal that may be passed on.
pub(crate) fn forward_all(handler: impl FnMut(i32, &'static str) + Send + 'static) -> Ready {
    receive(&FORWARDED, handler)
}

/// Calls `handler` each time the terminal's size changes.
pub(crate) fn on_resize(mut handler: impl FnMut() + Send + 'static) -> Ready {
    receive(&[(WINDOW_CHANGED, "WINCH")], move |_, _| handler())
}

fn receive(
    wanted: &'static [(i32, &'static str)],
    mut handler: impl FnMut(i32, &'static str) + Send + 'static,
) -> Ready {
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
            return;
        };
        runtime.block_on(async move {
            let mut streams: Vec<(i32, &'static str, Signal)> = wanted
                .iter()
                .filter_map(|(number, name)| {
                    Some((*number, *name, signal(SignalKind::from_raw(*number)).ok()?))
                })
                .collect();
            let _ = ready.send(());
            loop {
                let (number, name) = std::future::poll_fn(|context| {
                    for (number, name, stream) in &mut streams {
                        if stream.poll_recv(context).is_ready() {
                            return std::task::Poll::Ready((*number, *name));
                        }
                    }
                    std::task::Poll::Pending
                })
                .await;
                handler(number, name);
            }
        });
    });
    Ready(is_ready)
}

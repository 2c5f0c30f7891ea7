//! The domain of Wharf, in small independent parts that the doors (`api`, later `cri`) call.
//!
//! ```text
//! events <- volumes, networks, images <- containers <- system      (arrows: "is used by the one on the right")
//! ```
//!
//! | Part | What it is |
//! |---|---|
//! | [`Containers`] | create, start, stop, attach, exec, logs ...: one driver task per container owns its changes |
//! | [`Events`] | what happened, live and from a bounded memory |
//! | [`Images`] | pull, load, list, tag, remove; who uses one holds a lease on it |
//! | [`Networks`], [`Volumes`] | what containers are attached to |
//! | [`System`] | facts about the daemon and the host |
//!
//! Invariant: no type here knows Docker's JSON; `api` renders these values. Everything here is async and safe to call
//! from any task; what blocks (store, supervisor, network) runs on blocking threads.

mod clock;
pub mod containers;
pub mod error;
pub mod events;
pub mod filters;
pub mod images;
mod live;
pub mod networks;
mod open;
mod random;

mod plugins;
pub mod runtimes;
pub mod settings;
pub mod system;
pub mod volumes;

pub use ::network::{RELAY_NAME, relay_main};
pub use clock::{Timestamp, parse_time};
pub use containers::Containers;
pub use events::{Event, Events};
pub use filters::Filters;
pub use images::Images;
pub use live::{Live, Reloadable};
pub use networks::Networks;
pub use open::Engine;
pub use settings::{ProxySettings, Settings};
pub use system::System;
pub use volumes::Volumes;

/// Runs what goes at a client's pace, in a thread of its own: a client may stand still, and the threads that all share
/// are few. There are never more of these than connections.
pub(crate) fn aside(name: &str, work: impl FnOnce() + Send + 'static) -> types::Result<()> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| types::Error::internal(format!("cannot start a thread: {error}")))
}

/// Runs what blocks (store, network, supervisor, files) on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> types::Result<T> + Send + 'static,
) -> types::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(broken) => Err(types::Error::internal(format!("a blocking task failed: {broken}"))),
    }
}

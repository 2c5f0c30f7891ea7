//! End-to-end tests: one binary, one file per subject. Each test starts a daemon of its own on its own data root,
//! socket, cgroup parent and network namespace, so tests run side by side and never meet; each fails when something
//! of it is left behind.
//!
//! The clients are Docker's own command line and its Python and Node SDKs, unmodified: if they fail, we are wrong.

mod bed;
mod containers;
mod contract;
mod copy;
mod faults;
mod http;
mod images;
mod networks;
mod networks_more;
mod parity;
mod push;
mod registry;
mod sdk;
mod streams;
mod volumes;

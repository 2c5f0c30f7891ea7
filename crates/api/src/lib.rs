//! The Docker door: HTTP in, engine call out, wire body back.
//!
//! ```text
//!  listen (unix, tcp, fd) -> server (hyper, HTTP/1.1) -> router -> handler -> engine
//!                                                          |          |
//!                                        routes (the table)+          +-> render -> wire body -> reply
//!                                                                     +-> hijack: raw bytes both ways
//! ```
//!
//! Doors do not think: a handler parses, calls the engine and renders. What differs between API versions is decided
//! here (`render`), because nobody else knows the version.
//!
//! Invariant: every endpoint of the Engine API stands in [`routes`], with what it can do; one that is not built answers
//! 501 and nothing else.

mod call;
mod containers;
mod events;
mod exec;
mod go_json;
mod half_close;
mod hijack;
mod images;
mod listen;
mod networks;
mod query;
mod render;
mod reply;
mod request_body;
mod router;
mod routes;
mod server;
mod system;
mod volumes;
mod websocket;

pub use listen::{ListenError, Listener, Ownership};
pub use reply::status_of;
pub use routes::{Route, Support, routes};
pub use server::{Parts, serve};

//! The registry server, asked over HTTP as its clients ask it.

// The lint's exception for tests does not see the helpers of a test.
#![allow(clippy::unwrap_used)]

mod access;
mod bed;
mod bucket;
mod collection;
mod conformance;
mod discovery;
mod faults;
mod notifications;
mod pushing;
mod token_service;
mod transport;
mod upstream;

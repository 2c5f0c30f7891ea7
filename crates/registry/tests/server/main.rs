//! The registry server, asked over HTTP as its clients ask it.

mod access;
mod bed;
mod collection;
mod conformance;
mod discovery;
mod faults;
mod upstream;

//! The Docker-compatible command line.

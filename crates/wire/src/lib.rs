//! The Docker HTTP API as both ends see it.

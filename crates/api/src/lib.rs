//! The Docker door: HTTP in, engine call out, wire body back.

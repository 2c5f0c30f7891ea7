//! What Go's `encoding/json` makes of a body: which members it knows, and what it says about the first value that is not of
//! the type that was expected. Users see these words in Docker's errors.

mod bodies;
mod types;

pub(crate) use bodies::*;
pub(crate) use types::conform;

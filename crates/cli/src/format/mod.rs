//! Output: Go's tabwriter, go-units' words, Docker's tables and JSON.

pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod tabwriter;
pub(crate) mod text;
pub(crate) mod units;

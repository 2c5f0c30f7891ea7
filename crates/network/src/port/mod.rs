//! Published ports: parsing, allocation and reservation.

pub(crate) mod parse;

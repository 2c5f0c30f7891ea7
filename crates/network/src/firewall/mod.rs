//! Who filters and translates.

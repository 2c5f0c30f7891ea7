//! The domain, in small independent parts.

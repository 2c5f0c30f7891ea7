//! The tar format, read and written as streams.

/// Why a tar stream is refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Ends in the middle.
    #[error("unexpected EOF")]
    UnexpectedEof,
}

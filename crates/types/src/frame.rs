//! Docker's stream frames: an 8-byte header `[kind, 0, 0, 0, length big-endian u32]` before each chunk of output
//! of a container without a terminal (Engine API, "Attach to a container", "Stream format").

/// Which stream a chunk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamKind {
    /// Written to the client's standard output, although it is standard input (unused in practice).
    Stdin = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// An error of the daemon itself, in text.
    SystemError = 3,
}

/// The header of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Which stream.
    pub kind: StreamKind,
    /// Payload length in bytes.
    pub length: u32,
}

impl Frame {
    /// Length of a header in bytes.
    pub const HEADER: usize = 8;

    /// The header as it goes over the wire.
    pub fn encode(self) -> [u8; Self::HEADER] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [self.kind as u8, 0, 0, 0, a, b, c, d]
    }

    /// Reads a header; `None` when the kind is unknown.
    pub fn decode(header: [u8; Self::HEADER]) -> Option<Self> {
        let kind = match header[0] {
            0 => StreamKind::Stdin,
            1 => StreamKind::Stdout,
            2 => StreamKind::Stderr,
            3 => StreamKind::SystemError,
            _ => return None,
        };
        let [_, _, _, _, a, b, c, d] = header;
        Some(Self { kind, length: u32::from_be_bytes([a, b, c, d]) })
    }
}

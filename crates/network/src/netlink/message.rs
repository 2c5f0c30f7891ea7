//! Netlink messages as bytes: one writer for both families (`NETLINK_ROUTE`, `NETLINK_NETFILTER`) and a reader of
//! attributes. Layout: `include/uapi/linux/netlink.h`; every part is aligned to 4 bytes, lengths count no padding.

/// `struct nlmsghdr`.
pub(crate) const HEADER_LEN: usize = 16;
pub(crate) const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
pub(crate) const NLM_F_EXCL: u16 = 0x200;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
pub(crate) const NLM_F_APPEND: u16 = 0x800;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// Marks an attribute that holds attributes.
const NLA_F_NESTED: u16 = 0x8000;

/// Several messages, sent with one system call.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where each message starts.
    starts: Vec<usize>,
}

/// An attribute that is open: what is written next lies in it.
#[must_use]
pub(crate) struct Open(usize);

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Begins a message with its family header (`ifinfomsg`, `nfgenmsg`, ...), ending the one before.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, family_header: &[u8]) -> &mut Self {
        self.finish();
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.raw(family_header)
    }

    /// Bytes without an attribute header: a second family header, inside of an open attribute.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad()
    }

    /// An attribute with its value as bytes.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        // Lengths are 16 bits; every value here is a name, a number or an address.
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value)
    }

    /// A text, ended by a zero byte.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// A number in the host's order, as rtnetlink has it.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A number in network order, as nf_tables has it.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Opens an attribute that holds attributes.
    pub(crate) fn open(&mut self, kind: u16) -> Open {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        Open(start)
    }

    /// Ends it.
    pub(crate) fn close(&mut self, open: Open) -> &mut Self {
        let len = u16::try_from(self.bytes.len() - open.0).unwrap_or(u16::MAX);
        self.bytes[open.0..open.0 + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// Length of the attribute so far, header included.
    pub(crate) fn open_len(&self, open: &Open) -> usize {
        self.bytes.len() - open.0
    }

    /// Numbers the messages from `first_sequence` on, asks for an acknowledgement of message `acknowledge`, and
    /// returns the bytes to send.
    pub(crate) fn seal(&mut self, first_sequence: u32, acknowledge: Option<usize>) -> &[u8] {
        self.finish();
        for (position, &start) in self.starts.iter().enumerate() {
            let sequence = first_sequence.wrapping_add(u32::try_from(position).unwrap_or(0));
            self.bytes[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
            if acknowledge == Some(position) {
                let flags = u16::from_ne_bytes([self.bytes[start + 6], self.bytes[start + 7]]) | NLM_F_ACK;
                self.bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
            }
        }
        &self.bytes
    }

    fn finish(&mut self) {
        if let Some(&start) = self.starts.last() {
            let len = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
            self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
        }
    }

    fn pad(&mut self) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }
}

/// A received message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    /// Of a notification: the socket whose request it tells of.
    pub(crate) port: u32,
    /// Family header and attributes.
    pub(crate) body: &'a [u8],
}

/// The messages in what one `recv` returned. Ends at the first malformed one.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = usize::try_from(number(bytes, 0)?).ok()?;
        if len < HEADER_LEN || len > bytes.len() {
            return None;
        }
        let message = Message {
            kind: u16::from_ne_bytes([bytes[4], bytes[5]]),
            sequence: number(bytes, 8)?,
            port: number(bytes, 12)?,
            body: &bytes[HEADER_LEN..len],
        };
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    })
}

/// The attributes that follow a family header of `skip` bytes: kind (flags removed) and value.
pub(crate) fn attributes(body: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(skip..).unwrap_or(&[]);
    std::iter::from_fn(move || {
        let header = rest.get(..4)?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// The number in the host's order at `at`.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A text up to its zero byte.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut batch = Batch::new();
        batch.message(16, NLM_F_CREATE, &[7; 16]).text(3, "eth0").u32(4, 1500);
        let outer = batch.open(18);
        batch.text(1, "veth").close(outer);
        batch.message(20, 0, &[1; 8]).attribute(1, &[10, 0, 0, 1, 9]);
        let bytes = batch.seal(7, Some(1)).to_vec();

        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(found.iter().map(|m| (m.kind, m.sequence)).collect::<Vec<_>>(), [(16, 7), (20, 8)]);
        let first: Vec<_> = attributes(found[0].body, 16).collect();
        assert_eq!(first[0], (3, b"eth0\0".as_slice()));
        assert_eq!(first[1], (4, 1500u32.to_ne_bytes().as_slice()));
        assert_eq!(first[2].0, 18);
        assert_eq!(
            attributes(first[2].1, 0).map(|(kind, value)| (kind, text(value))).next(),
            Some((1, "veth".to_owned()))
        );
        assert_eq!(attributes(found[1].body, 8).collect::<Vec<_>>(), [(1, [10, 0, 0, 1, 9].as_slice())]);
    }

    #[test]
    fn malformed_input_ends_the_iteration() {
        for bytes in
            [&[][..], &[1, 2], &[0; 16], &[255; 16], &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(messages(bytes).count(), 0, "{bytes:?}");
        }
        for body in [&[][..], &[4], &[0, 0, 0, 0], &[3, 0, 0, 0], &[8, 0, 1, 0, 1]] {
            assert_eq!(attributes(body, 0).count(), 0, "{body:?}");
        }
    }
}

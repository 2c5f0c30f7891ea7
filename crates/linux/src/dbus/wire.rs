//! Values as they travel (D-Bus specification, "Marshaling"): little-endian, each aligned to its size from the start of
//! the message or of its body, which itself starts at a multiple of 8. Only the types that systemd's units need.

use std::io;

/// A value in a variant.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // The names are those of the specification's types.
pub enum Value {
    Bool(bool),
    Byte(u8),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    String(String),
    /// `as`
    Strings(Vec<String>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Numbers(Vec<u32>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Value::Bool(_) => "b",
            Value::Byte(_) => "y",
            Value::I32(_) => "i",
            Value::U32(_) => "u",
            Value::I64(_) => "x",
            Value::U64(_) => "t",
            Value::Double(_) => "d",
            Value::String(_) => "s",
            Value::Strings(_) => "as",
            Value::Bytes(_) => "ay",
            Value::Numbers(_) => "au",
            Value::Pairs(_) => "a(ss)",
        }
    }
}

/// The arguments of a message, being written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    pub(super) signature: String,
    pub(super) bytes: Vec<u8>,
}

impl Body {
    /// One more argument.
    pub fn string(mut self, text: &str) -> Self {
        self.signature.push('s');
        put_string(&mut self.bytes, text);
        self
    }

    /// One more argument.
    pub fn boolean(mut self, value: bool) -> Self {
        self.signature.push('b');
        put_u32(&mut self.bytes, u32::from(value));
        self
    }

    /// One more argument: `au`.
    pub fn numbers(mut self, list: &[u32]) -> Self {
        self.signature.push_str("au");
        put_array(&mut self.bytes, 4, list, |bytes, number| put_u32(bytes, *number));
        self
    }

    /// One more argument: `a(sv)`, a list of names with values.
    pub fn properties(mut self, list: &[(String, Value)]) -> Self {
        self.signature.push_str("a(sv)");
        put_array(&mut self.bytes, 8, list, |bytes, (name, value)| {
            align(bytes, 8);
            put_string(bytes, name);
            put_variant(bytes, value);
        });
        self
    }

    /// One more argument: `a(sa(sv))` without elements.
    pub fn no_units(mut self) -> Self {
        self.signature.push_str("a(sa(sv))");
        put_array::<()>(&mut self.bytes, 8, &[], |_, ()| {});
        self
    }
}

pub(super) fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

pub(super) fn put_u32(bytes: &mut Vec<u8>, value: u32) {
    align(bytes, 4);
    bytes.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_string(bytes: &mut Vec<u8>, text: &str) {
    put_u32(bytes, text.len() as u32);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
}

pub(super) fn put_signature(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(text.len() as u8);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
}

/// The length counts from the first element, without the gap before it.
fn put_array<T>(bytes: &mut Vec<u8>, element: usize, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_u32(bytes, 0);
    let length_at = bytes.len() - 4;
    align(bytes, element);
    let start = bytes.len();
    list.iter().for_each(|item| put(bytes, item));
    let length = (bytes.len() - start) as u32;
    bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_variant(bytes: &mut Vec<u8>, value: &Value) {
    put_signature(bytes, value.signature());
    let mut eight = |number: [u8; 8]| {
        align(bytes, 8);
        bytes.extend_from_slice(&number);
    };
    match value {
        Value::I64(number) => eight(number.to_le_bytes()),
        Value::U64(number) => eight(number.to_le_bytes()),
        Value::Double(number) => eight(number.to_le_bytes()),
        Value::Bool(value) => put_u32(bytes, u32::from(*value)),
        Value::Byte(value) => bytes.push(*value),
        Value::I32(number) => put_u32(bytes, number.cast_unsigned()),
        Value::U32(number) => put_u32(bytes, *number),
        Value::String(text) => put_string(bytes, text),
        Value::Strings(list) => put_array(bytes, 4, list, |bytes, text| put_string(bytes, text)),
        Value::Bytes(list) => put_array(bytes, 1, list, |bytes, byte| bytes.push(*byte)),
        Value::Numbers(list) => put_array(bytes, 4, list, |bytes, number| put_u32(bytes, *number)),
        Value::Pairs(list) => put_array(bytes, 8, list, |bytes, (one, other)| {
            align(bytes, 8);
            put_string(bytes, one);
            put_string(bytes, other);
        }),
    }
}

/// Reads what a peer wrote.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed D-Bus message")
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or_else(malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(malformed)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        self.align(4);
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| malformed())
    }

    fn text(&mut self, length: usize) -> io::Result<&'a str> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| malformed())?;
        if self.byte()? == 0 { Ok(text) } else { Err(malformed()) }
    }

    /// A string or an object path.
    pub(super) fn string(&mut self) -> io::Result<&'a str> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> io::Result<&'a str> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }

    /// A variant that holds a string, a path or a signature; of other basic types (which are skipped) `None`.
    pub(super) fn text_variant(&mut self) -> io::Result<Option<&'a str>> {
        match self.signature()? {
            "s" | "o" => self.string().map(Some),
            "g" => self.signature().map(Some),
            "u" | "i" | "b" => self.u32().map(|_| None),
            "y" => self.byte().map(|_| None),
            "t" | "x" | "d" => {
                self.align(8);
                self.take(8).map(|_| None)
            }
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_laid_out_as_the_specification_says() {
        let body = Body::default().string("ab").boolean(true).numbers(&[7]).no_units();
        assert_eq!(body.signature, "sbaua(sa(sv))");
        let expect = [
            2, 0, 0, 0, b'a', b'b', 0, 0, // the string, and a gap
            1, 0, 0, 0, // true
            4, 0, 0, 0, 7, 0, 0, 0, // 4 bytes of numbers
            0, 0, 0, 0, // no bytes of structures: those start at a multiple of 8
        ];
        assert_eq!(body.bytes, expect);
    }

    #[test]
    fn values_are_laid_out_as_the_specification_says() {
        let check = |value: Value, expect: &[u8]| {
            let mut bytes = Vec::new();
            put_variant(&mut bytes, &value);
            assert_eq!(bytes, expect, "{value:?}");
        };
        check(Value::Bool(true), &[1, b'b', 0, 0, 1, 0, 0, 0]);
        check(Value::Byte(5), &[1, b'y', 0, 5]);
        check(Value::I32(-1), &[1, b'i', 0, 0, 255, 255, 255, 255]);
        check(Value::U64(u64::MAX), &[1, b't', 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        check(Value::Bytes(vec![3]), &[2, b'a', b'y', 0, 1, 0, 0, 0, 3]);
        check(
            Value::Strings(vec!["a".into(), "b".into()]),
            &[2, b'a', b's', 0, 14, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 1, 0, 0, 0, b'b', 0],
        );
        // The gap before the first structure is not counted.
        let pair = Value::Pairs(vec![("a".into(), "b".into())]);
        let mut expect = vec![5, b'a', b'(', b's', b's', b')', 0, 0, 14, 0, 0, 0, 0, 0, 0, 0];
        expect.extend([1, 0, 0, 0, b'a', 0, 0, 0, 1, 0, 0, 0, b'b', 0]);
        check(pair, &expect);
    }

    #[test]
    fn names_with_values_follow_each_other_at_multiples_of_eight() {
        let list = [("A".to_owned(), Value::Bool(false)), ("B".to_owned(), Value::U32(9))];
        let body = Body::default().properties(&list);
        let mut expect = vec![36, 0, 0, 0, 0, 0, 0, 0];
        expect.extend([1, 0, 0, 0, b'A', 0, 1, b'b', 0, 0, 0, 0, 0, 0, 0, 0]);
        expect.extend([1, 0, 0, 0, b'B', 0, 1, b'u', 0, 0, 0, 0, 9, 0, 0, 0]);
        expect[0] = (expect.len() - 8) as u8;
        assert_eq!((body.signature.as_str(), body.bytes), ("a(sv)", expect));
    }

    #[test]
    fn what_is_read_is_checked() {
        let mut bytes = Vec::new();
        put_string(&mut bytes, "ok");
        put_variant(&mut bytes, &Value::U64(1));
        put_variant(&mut bytes, &Value::String("text".into()));
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.string().unwrap(), "ok");
        assert_eq!(reader.text_variant().unwrap(), None);
        assert_eq!(reader.text_variant().unwrap(), Some("text"));
        assert!(reader.is_at_end() && reader.byte().is_err());
        for broken in
            [&[9, 0, 0, 0, b'x', 0][..], &[1, 0, 0, 0, b'x', 1], &[1, 0, 0, 0, 0xff, 0], &[255; 4], &[]]
        {
            assert!(Reader::new(broken).string().is_err(), "{broken:?}");
        }
    }
}

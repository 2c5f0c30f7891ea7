//! What Go's `encoding/json` says about a text that is not JSON. Users see these words in Docker's errors.
//!
//! A walk over the grammar with an explicit stack, in the order of Go's `scanner.go`, run only after serde refused.

/// The first syntax error in `text`, in Go's words; `None` when it is one whole JSON value.
pub fn syntax_error(text: &[u8]) -> Option<String> {
    let mut scan = Scan { text, at: 0 };
    scan.value("looking for beginning of value").err()
}

const EOF: &str = "unexpected EOF";
const MAX_DEPTH: usize = 10_000;

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

/// What is open: decides what may follow a value.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Object,
    Array,
}

impl Scan<'_> {
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn bad(&self, context: &str) -> String {
        match self.text.get(self.at) {
            None => EOF.to_owned(),
            Some(_) => format!("invalid character {} {context}", quote(self.text, self.at)),
        }
    }

    fn value(&mut self, context: &'static str) -> Result<(), String> {
        let mut open: Vec<Open> = Vec::new();
        let mut context = context;
        loop {
            // One value begins here, or an empty array or object ends.
            let first = self.peek();
            let closed = match first {
                Some(b'{') => {
                    self.at += 1;
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                        true
                    } else {
                        open.push(Open::Object);
                        self.key("looking for beginning of object key string")?;
                        false
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.peek() == Some(b']') {
                        self.at += 1;
                        true
                    } else {
                        open.push(Open::Array);
                        false
                    }
                }
                Some(b'"') => self.string().map(|()| true)?,
                Some(b'-' | b'0'..=b'9') => self.number().map(|()| true)?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                _ => return Err(self.bad(context)),
            };
            context = "looking for beginning of value";
            if open.len() > MAX_DEPTH {
                return Err("exceeded max depth".to_owned());
            }
            if closed && self.after_value(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Goes to the next value; true when the outermost one has ended.
    fn after_value(&mut self, open: &mut Vec<Open>) -> Result<bool, String> {
        loop {
            match (open.last(), self.peek()) {
                (None, _) => return Ok(true),
                (Some(Open::Object), Some(b',')) => {
                    self.at += 1;
                    self.key("looking for beginning of object key string")?;
                    return Ok(false);
                }
                (Some(Open::Array), Some(b',')) => {
                    self.at += 1;
                    return Ok(false);
                }
                (Some(Open::Object), Some(b'}')) | (Some(Open::Array), Some(b']')) => {
                    self.at += 1;
                    open.pop();
                }
                (Some(Open::Object), _) => return Err(self.bad("after object key:value pair")),
                (Some(Open::Array), _) => return Err(self.bad("after array element")),
            }
        }
    }

    fn key(&mut self, context: &str) -> Result<(), String> {
        if self.peek() != Some(b'"') {
            return Err(self.bad(context));
        }
        self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.bad("after object key"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.text.get(self.at) {
                        Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
                        Some(b'u') => {
                            for _ in 0..4 {
                                self.at += 1;
                                if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                                    return Err(self.bad("in \\u hexadecimal character escape"));
                                }
                            }
                            self.at += 1;
                        }
                        _ => return Err(self.bad("in string escape code")),
                    }
                }
                Some(0..=0x1f) | None => return Err(self.bad("in string literal")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        if !self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            return Err(self.bad(context));
        }
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<bool, String> {
        for (n, expected) in word.bytes().enumerate() {
            if self.text.get(self.at) != Some(&expected) {
                let wanted = char::from(word.as_bytes()[n]);
                return Err(self.bad(&format!("in literal {word} (expecting '{wanted}')")));
            }
            self.at += 1;
        }
        Ok(true)
    }
}

/// Go's `quoteChar`: one byte, in single quotes.
fn quote(text: &[u8], at: usize) -> String {
    match text[at] {
        b'\'' => r"'\''".to_owned(),
        b'"' => r#"'"'"#.to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        byte @ (0x20..=0x7e) => format!("'{}'", char::from(byte)),
        byte @ (0..0x20 | 0x7f) => format!(r"'\x{byte:02x}'"),
        byte => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::syntax_error;

    #[test]
    fn errors_are_in_gos_words() {
        for (text, want) in [
            ("{bad", "invalid character 'b' looking for beginning of object key string"),
            ("bad", "invalid character 'b' looking for beginning of value"),
            ("", "unexpected EOF"),
            ("{", "unexpected EOF"),
            (r#"{"a"}"#, "invalid character '}' after object key"),
            (r#"{"a":1 "b"}"#, r#"invalid character '"' after object key:value pair"#),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("nul", "unexpected EOF"),
            ("nulx", "invalid character 'x' in literal null (expecting 'l')"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            (r#""\x""#, "invalid character 'x' in string escape code"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ] {
            assert_eq!(syntax_error(text.as_bytes()).as_deref(), Some(want), "{text:?}");
        }
        for good in ["{}", "[]", r#" {"a":[1,-2.5e3,"\u00e9\n",true,false,null,{}]} "#, "0", r#""""#] {
            assert_eq!(syntax_error(good.as_bytes()), None, "{good}");
        }
    }
}

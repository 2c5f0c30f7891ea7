//! Go's types, as far as decoding JSON goes.
//!
//! Go matches names of members without regard to case, takes `null` for the zero value, and names the first value that
//! does not fit by its place and its Go type. serde does none of these, so a body is brought into serde's form first.

use serde_json::{Map, Value};

/// A Go type.
#[derive(Debug)]
pub(crate) enum Go {
    /// `bool`.
    Bool,
    /// A string type, by its name.
    Text(&'static str),
    /// An integer type: name, smallest and largest value.
    Whole(&'static str, i128, i128),
    /// `[2]uint`: what is missing is 0, what is too much is passed over.
    Pair,
    /// A slice: name and type of its elements.
    List(&'static str, &'static Go),
    /// A map with string keys: name and type of its values.
    Map(&'static str, &'static Go),
    /// A struct: name and members.
    Struct(&'static str, &'static [&'static [Member]]),
    /// `strslice.StrSlice`: a string or a list of strings.
    Words,
    /// Anything.
    Any,
}

/// A member of a struct: its name in JSON, and its type.
pub(crate) type Member = (&'static str, Go);

/// Brings `value` into the form in which serde reads it. The error is Go's, about the first value that does not fit.
/// `name` is what Go calls the outermost struct in its errors.
pub(crate) fn conform(value: &mut Value, go: &Go, name: &str) -> Result<(), String> {
    let mut walk = Walk { name, path: String::new(), first: None };
    walk.visit(value, go);
    walk.first.map_or(Ok(()), Err)
}

struct Walk<'a> {
    name: &'a str,
    /// A JSON pointer with dots: `.HostConfig.Mounts.0.Type`.
    path: String,
    first: Option<String>,
}

impl Walk<'_> {
    fn visit(&mut self, value: &mut Value, go: &Go) {
        match (go, &mut *value) {
            (_, Value::Null) => *value = zero(go),
            (Go::Any, _) | (Go::Bool, Value::Bool(_)) | (Go::Text(_), Value::String(_)) => {}
            (Go::Whole(name, smallest, largest), Value::Number(number)) => {
                let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                if whole.is_none_or(|whole| whole < *smallest || whole > *largest) {
                    let what = format!("number {number}");
                    self.complain(&what, name);
                }
            }
            (Go::Pair, Value::Array(list)) => {
                list.truncate(2);
                list.resize(2, Value::from(0));
                self.elements(list, &Go::Whole("uint", 0, u32::MAX as i128));
            }
            (Go::List(_, element), Value::Array(list)) => self.elements(list, element),
            (Go::Map(_, element), Value::Object(map)) => {
                for (key, member) in map.iter_mut() {
                    self.below(key, |walk| walk.visit(member, element));
                }
            }
            (Go::Struct(_, members), Value::Object(map)) => {
                let given = std::mem::take(map);
                *map = self.members(given, members);
            }
            (Go::Words, Value::String(_)) => {}
            (Go::Words, Value::Array(list)) if list.iter().all(|v| v.is_string() || v.is_null()) => {
                list.iter_mut().filter(|v| v.is_null()).for_each(|v| *v = Value::from(""));
            }
            (Go::Words, other) => {
                let text = format!("json: cannot unmarshal {} into Go value of type string", kind(other));
                self.first.get_or_insert(text);
            }
            (_, other) => {
                let what = kind(other);
                self.complain(what, type_name(go));
            }
        }
    }

    fn elements(&mut self, list: &mut [Value], element: &Go) {
        for (index, member) in list.iter_mut().enumerate() {
            self.below(&index.to_string(), |walk| walk.visit(member, element));
        }
    }

    /// Members under the names that Go knows them by; others are passed over. Of two of one name the last counts.
    fn members(&mut self, given: Map<String, Value>, known: &[&[Member]]) -> Map<String, Value> {
        let mut taken = Map::new();
        for (key, mut member) in given {
            let all = || known.iter().copied().flatten();
            let exact = all().find(|(name, _)| *name == key);
            let Some((name, go)) = exact.or_else(|| all().find(|(name, _)| name.eq_ignore_ascii_case(&key)))
            else {
                continue;
            };
            if !member.is_null() {
                self.below(name, |walk| walk.visit(&mut member, go));
                taken.insert((*name).to_owned(), member);
            }
        }
        taken
    }

    fn below(&mut self, key: &str, act: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        act(self);
        self.path.truncate(length);
    }

    fn complain(&mut self, what: &str, type_name: &str) {
        let place = match self.path.rsplit_once('.') {
            None => "Go value".to_owned(),
            // What looks like an index is not called a field.
            Some((_, last)) if last.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{}{}", self.name, self.path)
            }
            Some(_) => format!("Go struct field {}{}", self.name, self.path),
        };
        self.first
            .get_or_insert_with(|| format!("json: cannot unmarshal {what} into {place} of type {type_name}"));
    }
}

/// What Go makes of `null`. Slices and maps stay nil, which our types know as `null`.
fn zero(go: &Go) -> Value {
    match go {
        Go::Bool => Value::Bool(false),
        Go::Text(_) => Value::from(""),
        Go::Whole(..) => Value::from(0),
        Go::Struct(..) => Value::Object(Map::new()),
        Go::Pair | Go::List(..) | Go::Map(..) | Go::Words | Go::Any => Value::Null,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_name(go: &Go) -> &'static str {
    match go {
        Go::Bool => "bool",
        Go::Pair => "[2]uint",
        Go::Words => "strslice.StrSlice",
        Go::Any => "interface {}",
        Go::Text(name) | Go::Whole(name, ..) | Go::List(name, _) | Go::Map(name, _) | Go::Struct(name, _) => {
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Body, CREATE, NETWORK};
    use super::*;

    fn error(text: &str, body: &Body) -> Option<String> {
        let mut value = serde_json::from_str(text).unwrap();
        conform(&mut value, &body.go, body.name).err()
    }

    #[test]
    fn errors_are_in_gos_words() {
        for (text, want) in [
            (r#"{"Image":5}"#, "number into Go struct field .Image of type string"),
            (r#"{"Image":true,"Env":5}"#, "bool into Go struct field .Image of type string"),
            (r#"{"Env":[5]}"#, "number into .Env.0 of type string"),
            (r#"{"Labels":{"a":1}}"#, "number into Go struct field .Labels.a of type string"),
            (r#"{"Labels":{"1":1}}"#, "number into .Labels.1 of type string"),
            (r#"{"Cmd":5}"#, "number into Go value of type string"),
            (r#"{"Cmd":[1]}"#, "array into Go value of type string"),
            (r#"{"HostConfig":[]}"#, "array into Go struct field .HostConfig of type container.HostConfig"),
            (
                r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":80}]}}}"#,
                "number into Go struct field .HostConfig.PortBindings.80~1tcp.0.HostPort of type string",
            ),
            (
                r#"{"HostConfig":{"Memory":1.5}}"#,
                "number 1.5 into Go struct field .HostConfig.Memory of type int64",
            ),
            (
                r#"{"HostConfig":{"BlkioWeight":70000}}"#,
                "number 70000 into Go struct field .HostConfig.BlkioWeight of type uint16",
            ),
            (
                r#"{"HostConfig":{"ConsoleSize":[-1,2]}}"#,
                "number -1 into .HostConfig.ConsoleSize.0 of type uint",
            ),
            (r#"{"Volumes":{"/x":5}}"#, "number into Go struct field .Volumes.~1x of type struct {}"),
            ("[]", "array into Go value of type container.CreateRequest"),
        ] {
            let want = format!("json: cannot unmarshal {want}");
            assert_eq!(error(text, &CREATE).as_deref(), Some(want.as_str()), "{text}");
        }
        assert_eq!(
            error(r#"{"IPAM":{"Config":{}}}"#, &NETWORK).unwrap(),
            "json: cannot unmarshal object into Go struct field CreateRequest.IPAM.Config of type []network.IPAMConfig"
        );
    }

    #[test]
    fn what_fits_takes_serdes_form() {
        let text = r#"{"image":"a","IMAGE":"b","Cmd":"x","Env":["A=1",null],"HostConfig":{"Dns":null,"consolesize":[1,2,3]},"X":1}"#;
        let mut value = serde_json::from_str(text).unwrap();
        conform(&mut value, &CREATE.go, CREATE.name).unwrap();
        let want = r#"{"Image":"b","Cmd":"x","Env":["A=1",""],"HostConfig":{"ConsoleSize":[1,2]}}"#;
        assert_eq!(value.to_string(), want);
    }
}

//! `WWW-Authenticate` (RFC 9110, section 11.6.1) as registries use it.

use std::collections::BTreeMap;

/// One scheme with its parameters, both in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) scheme: String,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Challenge {
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

/// All challenges of one header value; what does not follow the grammar ends the list.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        let after = after.trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let Some(challenge) = challenges.last_mut() else { break };
            let (value, after) = parameter_value(value.trim_start());
            challenge.parameters.insert(word.to_ascii_lowercase(), value);
            rest = after.trim_start().trim_start_matches(',').trim_start();
        } else {
            challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
            rest = after.trim_start_matches(',').trim_start();
        }
    }
    challenges
}

fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)));
    text.split_at(end.unwrap_or(text.len()))
}

fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expect: &[(&str, &[(&str, &str)])]) {
        let got = parse(header);
        let want: Vec<Challenge> = expect
            .iter()
            .map(|(scheme, parameters)| Challenge {
                scheme: (*scheme).to_owned(),
                parameters: parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            })
            .collect();
        assert_eq!(got, want, "{header}");
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        check(
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
            &[(
                "bearer",
                &[
                    ("realm", "https://auth.example/token"),
                    ("service", "registry.example"),
                    ("scope", "repository:a/b:pull,push"),
                ],
            )],
        );
        check(r#"Basic realm="Registry Realm""#, &[("basic", &[("realm", "Registry Realm")])]);
        check(
            r#"Basic realm="a", Bearer realm=b"#,
            &[("basic", &[("realm", "a")]), ("bearer", &[("realm", "b")])],
        );
        check("Negotiate", &[("negotiate", &[])]);
        check(r#"Bearer realm="say \"hi\"""#, &[("bearer", &[("realm", "say \"hi\"")])]);
        check("", &[]);
        check("=,", &[]);
        check(r#"Bearer realm="unclosed"#, &[("bearer", &[("realm", "unclosed")])]);
    }
}

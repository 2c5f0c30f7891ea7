//! Words of a template: text between actions, and what stands inside `{{ }}`.

use super::TemplateError;

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// One word with its byte offset in the template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    /// The line, from 1.
    pub(super) line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    Open,
    Close,
    /// `.Name`
    Field(String),
    /// `.`
    Dot,
    /// `$name`, `$`
    Variable(String),
    Identifier(String),
    /// Value, and as it was written, for error texts.
    String(String, String),
    /// As it was written.
    Number(String),
    Char(char, String),
    Pipe,
    LeftParen,
    RightParen,
    Declare,
    Assign,
    Comma,
    /// Any run of blanks: it separates arguments.
    Space,
}

struct Lexer<'a> {
    source: &'a str,
    position: usize,
    tokens: Vec<Token>,
}

/// All words of a template.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { source, position: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.position..]
    }

    fn line(&self) -> usize {
        1 + self.source[..self.position].matches('\n').count()
    }

    fn error(&self, what: &str) -> TemplateError {
        TemplateError(format!("template: :{}: {what}", self.line()))
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let token = Token { kind, at: self.position, line: self.line() };
        self.tokens.push(token);
        self.position += length;
    }

    fn run(&mut self) -> Result<(), TemplateError> {
        let mut trim_left = false;
        loop {
            let rest = self.rest();
            let (text, found) = match rest.find("{{") {
                Some(at) => (&rest[..at], true),
                None => (rest, false),
            };
            let after = rest.get(text.len() + 2..).unwrap_or_default();
            let trims_right = after.strip_prefix('-').is_some_and(|after| after.starts_with(BLANKS));
            let mut shown = text;
            if trim_left {
                shown = shown.trim_start_matches(BLANKS);
            }
            if trims_right {
                shown = shown.trim_end_matches(BLANKS);
            }
            if shown.is_empty() {
                self.position += text.len();
            } else {
                self.push(Kind::Text(shown.to_owned()), text.len());
            }
            if !found {
                return Ok(());
            }
            trim_left = self.action(if trims_right { 3 } else { 2 })?;
        }
    }

    /// One action; true when it trims the text after it.
    fn action(&mut self, opening: usize) -> Result<bool, TemplateError> {
        let after = &self.rest()[opening..];
        if after.trim_start_matches(BLANKS).starts_with("/*") {
            return self.comment(opening);
        }
        self.push(Kind::Open, opening);
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            let blanks = rest.len() - rest.trim_start_matches(BLANKS).len();
            let trims = blanks > 0 && rest[blanks..].starts_with("-}}");
            if trims || rest.starts_with("}}") {
                if depth > 0 {
                    return Err(self.error("unclosed left paren"));
                }
                self.push(Kind::Close, if trims { blanks + 3 } else { 2 });
                return Ok(trims);
            }
            if blanks > 0 {
                self.push(Kind::Space, blanks);
                continue;
            }
            let Some(first) = rest.chars().next() else { return Err(self.error("unclosed action")) };
            match first {
                '(' => depth += 1,
                ')' if depth == 0 => return Err(self.error("unexpected right paren")),
                ')' => depth -= 1,
                _ => {}
            }
            self.word(first)?;
        }
    }

    fn comment(&mut self, opening: usize) -> Result<bool, TemplateError> {
        self.position += opening;
        let Some(end) = self.rest().find("*/") else { return Err(self.error("unclosed comment")) };
        self.position += end + 2;
        let rest = self.rest();
        let trimmed = rest.trim_start_matches(BLANKS);
        let trims = trimmed.starts_with("-}}") && rest.len() > trimmed.len();
        let closing = if trims { "-}}" } else { "}}" };
        if !trims && !rest.starts_with(closing) {
            return Err(self.error("comment ends before closing delimiter"));
        }
        self.position += rest.len() - trimmed.len() + closing.len();
        Ok(trims)
    }

    /// One word inside an action.
    fn word(&mut self, first: char) -> Result<(), TemplateError> {
        let rest = self.rest();
        match first {
            '|' => self.push(Kind::Pipe, 1),
            ',' => self.push(Kind::Comma, 1),
            '(' => self.push(Kind::LeftParen, 1),
            ')' => self.push(Kind::RightParen, 1),
            ':' if rest.starts_with(":=") => self.push(Kind::Declare, 2),
            ':' => return Err(self.error("expected :=")),
            '=' => self.push(Kind::Assign, 1),
            '"' => self.quoted()?,
            '`' => {
                let Some(end) = rest[1..].find('`') else {
                    return Err(self.error("unterminated raw quoted string"));
                };
                let source = &rest[..end + 2];
                self.push(Kind::String(source[1..=end].to_owned(), source.to_owned()), source.len());
            }
            '\'' => self.character()?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            '.' | '$' => {
                let name = leading_word(&rest[1..]);
                let kind = match (first, name) {
                    ('.', "") => Kind::Dot,
                    ('.', name) => Kind::Field(name.to_owned()),
                    (_, name) => Kind::Variable(format!("${name}")),
                };
                self.push(kind, 1 + name.len());
            }
            '+' | '-' | '0'..='9' => self.number(),
            c if c.is_alphabetic() || c == '_' => {
                let name = leading_word(rest);
                self.push(Kind::Identifier(name.to_owned()), name.len());
            }
            other => {
                let code = other as u32;
                return Err(self.error(&match other.is_ascii() {
                    true => format!("unexpected {:?} in command", other.to_string()),
                    false => format!("unrecognized character in action: U+{code:04X} '{other}'"),
                }));
            }
        }
        // A name ends at a blank, at punctuation of the language or at the end of the action.
        let named = matches!(first, '.' | '$') || first.is_alphabetic() || first == '_';
        let next = self.rest().chars().next();
        match next {
            Some(bad)
                if named
                    && !BLANKS.contains(&bad)
                    && !".,|:()=".contains(bad)
                    && !self.rest().starts_with("}}") =>
            {
                Err(self.error(&format!("bad character U+{:04X} '{bad}'", bad as u32)))
            }
            _ => Ok(()),
        }
    }

    fn quoted(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let mut value = String::new();
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    let source = rest[..=at].to_owned();
                    let length = source.len();
                    self.push(Kind::String(value, source), length);
                    return Ok(());
                }
                '\n' => break,
                '\\' => match characters.next() {
                    Some((_, escaped)) => match escape(escaped, &mut characters) {
                        Some(character) => value.push(character),
                        None => return Err(self.error("invalid syntax")),
                    },
                    None => break,
                },
                other => value.push(other),
            }
        }
        Err(self.error("unterminated quoted string"))
    }

    fn character(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let mut characters = rest.char_indices().skip(1);
        let value = match characters.next() {
            Some((_, '\\')) => characters.next().and_then(|(_, escaped)| escape(escaped, &mut characters)),
            other => other.map(|(_, character)| character),
        };
        match (value, characters.next()) {
            (Some(value), Some((end, '\''))) => {
                let source = rest[..=end].to_owned();
                let length = source.len();
                self.push(Kind::Char(value, source), length);
                Ok(())
            }
            _ => Err(self.error("unterminated character constant")),
        }
    }

    fn number(&mut self) {
        let rest = self.rest();
        let mut previous = ' ';
        let end = rest.char_indices().find(|(at, c)| {
            let sign = matches!(c, '+' | '-') && (*at == 0 || matches!(previous, 'e' | 'E' | 'p' | 'P'));
            previous = *c;
            !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || sign)
        });
        let length = end.map_or(rest.len(), |(at, _)| at);
        self.push(Kind::Number(rest[..length].to_owned()), length);
    }
}

fn leading_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The character that `\x` stands for in a Go string.
fn escape(letter: char, rest: &mut impl Iterator<Item = (usize, char)>) -> Option<char> {
    let mut hexadecimal = |digits: usize| {
        let text: String = rest.take(digits).map(|(_, c)| c).collect();
        u32::from_str_radix(&text, 16).ok().and_then(char::from_u32)
    };
    Some(match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' | '"' | '\'' => letter,
        'x' => hexadecimal(2)?,
        'u' => hexadecimal(4)?,
        'U' => hexadecimal(8)?,
        _ => return None,
    })
}

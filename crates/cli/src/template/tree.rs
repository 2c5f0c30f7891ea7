//! The tree of a template, and how Go writes its parts in errors.

use std::fmt;

/// One part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Call { name: String, at: usize, argument: Option<Pipe> },
    Break,
    Continue,
}

/// `$x := command | command`.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) variables: Vec<String>,
    /// `=` rather than `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// One word of a command.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) kind: OperandKind,
}

#[derive(Debug, Clone)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Int { text: String, value: i128 },
    Float { text: String, value: f64 },
    String { value: String, source: String },
    Field(Vec<String>),
    Variable(Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
    Chain(Box<Operand>, Vec<String>),
}

impl Operand {
    /// Whether it may take the result of the command before it.
    pub(super) fn is_callable(&self) -> bool {
        use OperandKind::{Chain, Field, Function, Pipe, Variable};
        matches!(self.kind, Field(_) | Variable(_) | Function(_) | Pipe(_) | Chain(..))
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Int { text, .. } | OperandKind::Float { text, .. } => f.write_str(text),
            OperandKind::String { source, .. } => f.write_str(source),
            OperandKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Function(name) => f.write_str(name),
            OperandKind::Pipe(pipe) => write!(f, "({pipe})"),
            OperandKind::Chain(inner, names) => {
                write!(f, "{inner}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { " | " } else { "" }, command_text(command))?;
        }
        Ok(())
    }
}

/// A command as Go shows it in errors.
pub(super) fn command_text(command: &[Operand]) -> String {
    command.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Reads a number; a float only when it is not whole, or is written with a point or an exponent.
pub(super) fn number(text: &str) -> Option<OperandKind> {
    let clean = text.replace('_', "");
    let (negative, digits) = match clean.as_bytes().first()? {
        b'-' => (true, &clean[1..]),
        b'+' => (false, &clean[1..]),
        _ => (false, clean.as_str()),
    };
    let (radix, body) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'0'..=b'9', ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    let text = text.to_owned();
    if let Ok(value) = i128::from_str_radix(body, radix) {
        return Some(OperandKind::Int { text, value: if negative { -value } else { value } });
    }
    // Rust would read words like `inf` as numbers too.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    clean.parse().ok().map(|value| OperandKind::Float { text, value })
}

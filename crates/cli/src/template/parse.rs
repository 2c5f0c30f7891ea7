//! From words to the tree of a template.

use std::collections::HashMap;
use std::fmt;

use super::TemplateError;
use super::funcs;
use super::lex::{Kind, Token, lex};
use super::tree::{Node, Operand, OperandKind, Pipe, number};

/// A template that has been read.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(super) source: String,
    pub(super) root: Vec<Node>,
    /// `{{define}}` and `{{block}}`.
    pub(super) defined: HashMap<String, Vec<Node>>,
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        let tokens = lex(source)?;
        let mut parser = Parser {
            tokens: &tokens,
            next: 0,
            last_line: 1 + source.matches('\n').count(),
            defined: HashMap::new(),
            variables: vec!["$".to_owned()],
            loops: 0,
        };
        let (root, end) = parser.list()?;
        match end {
            Stop::Eof => Ok(Self { source: source.to_owned(), root, defined: parser.defined }),
            Stop::Here => Err(parser.error("unexpected {{end}}")),
            Stop::Else(_) => Err(parser.error("unexpected {{else}}")),
        }
    }

    /// Whether it shows its value as a whole, as `{{json .}}` does.
    pub(crate) fn is_whole(&self) -> bool {
        self.source.contains(" .}}") || self.source.contains("{{.}}") || self.source.contains("{{ . }}")
    }

    /// Whether any part of it names the field, as in `.Size`.
    pub(crate) fn uses_field(&self, name: &str) -> bool {
        let dotted = format!(".{name}");
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        self.source.match_indices(&dotted).any(|(at, _)| is_end(&self.source[at + dotted.len()..]))
    }
}

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Eof,
    /// `{{end}}`.
    Here,
    /// `else`, and whether `if` or `with` follows.
    Else(bool),
}

enum Parsed {
    Node(Node),
    Nothing,
    Stop(Stop),
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    last_line: usize,
    defined: HashMap<String, Vec<Node>>,
    variables: Vec<String>,
    loops: usize,
}

type Result<T, E = TemplateError> = std::result::Result<T, E>;

impl Parser<'_> {
    fn error(&self, what: impl fmt::Display) -> TemplateError {
        let line = self.tokens.get(self.next.saturating_sub(1)).map_or(self.last_line, |token| token.line);
        TemplateError(format!("template: :{line}: {what}"))
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(0, |token| token.at)
    }

    fn advance(&mut self) -> Option<Kind> {
        let token = self.tokens.get(self.next)?;
        self.next += 1;
        Some(token.kind.clone())
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Kind::Space) {
            self.next += 1;
        }
    }

    fn unexpected(&mut self, context: &str) -> TemplateError {
        match self.advance() {
            None => self.error(format!("unexpected EOF in {context}")),
            Some(kind) => self.error(format!("unexpected {} in {context}", describe(&kind))),
        }
    }

    fn list(&mut self) -> Result<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        while let Some(kind) = self.advance() {
            match kind {
                Kind::Text(text) => nodes.push(Node::Text(text)),
                _ => match self.action()? {
                    Parsed::Node(node) => nodes.push(node),
                    Parsed::Nothing => {}
                    Parsed::Stop(end) => return Ok((nodes, end)),
                },
            }
        }
        Ok((nodes, Stop::Eof))
    }

    fn action(&mut self) -> Result<Parsed> {
        self.skip_space();
        let Some(Kind::Identifier(word)) = self.peek().cloned() else {
            return self.pipe("command", false).map(|pipe| Parsed::Node(Node::Action(pipe)));
        };
        match word.as_str() {
            "if" => self.control("if", Node::If),
            "with" => self.control("with", Node::With),
            "range" => self.control("range", Node::Range),
            "end" => self.alone("end").map(|()| Parsed::Stop(Stop::Here)),
            "else" => {
                self.next += 1;
                self.skip_space();
                match self.peek() {
                    Some(Kind::Close) => {
                        self.next += 1;
                        Ok(Parsed::Stop(Stop::Else(false)))
                    }
                    Some(Kind::Identifier(word)) if word == "if" || word == "with" => {
                        Ok(Parsed::Stop(Stop::Else(true)))
                    }
                    _ => Err(self.unexpected("else")),
                }
            }
            "break" | "continue" if self.loops == 0 => {
                Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")))
            }
            "break" => self.alone("{{break}}").map(|()| Parsed::Node(Node::Break)),
            "continue" => self.alone("{{continue}}").map(|()| Parsed::Node(Node::Continue)),
            "template" | "block" | "define" => self.named(&word),
            _ => self.pipe("command", false).map(|pipe| Parsed::Node(Node::Action(pipe))),
        }
    }

    /// A word that is the whole action.
    fn alone(&mut self, context: &str) -> Result<()> {
        self.next += 1;
        self.skip_space();
        if self.peek() != Some(&Kind::Close) {
            return Err(self.unexpected(context));
        }
        self.next += 1;
        Ok(())
    }

    fn control(&mut self, word: &str, make: fn(Pipe, Vec<Node>, Vec<Node>) -> Node) -> Result<Parsed> {
        self.next += 1;
        self.skip_space();
        let scope = self.variables.len();
        let is_loop = word == "range";
        let pipe = self.pipe(word, is_loop)?;
        self.loops += usize::from(is_loop);
        let (body, end) = self.list()?;
        self.loops -= usize::from(is_loop);
        let otherwise = match end {
            Stop::Eof => return Err(self.error("unexpected EOF")),
            Stop::Here => Vec::new(),
            // `{{else if}}` is an `if` inside the `else`, and both end with the same `{{end}}`.
            Stop::Else(true) => {
                let nested = match self.peek() {
                    Some(Kind::Identifier(next)) if next == "with" => self.control("with", Node::With)?,
                    _ => self.control("if", Node::If)?,
                };
                match nested {
                    Parsed::Node(node) => vec![node],
                    _ => Vec::new(),
                }
            }
            Stop::Else(false) => match self.list()? {
                (nodes, Stop::Here) => nodes,
                (_, Stop::Eof) => return Err(self.error("unexpected EOF")),
                (_, Stop::Else(_)) => return Err(self.error("expected end; found {{else}}")),
            },
        };
        self.variables.truncate(scope);
        Ok(Parsed::Node(make(pipe, body, otherwise)))
    }

    /// `{{template "x" .}}`, `{{define "x"}}`, `{{block "x" .}}`.
    fn named(&mut self, word: &str) -> Result<Parsed> {
        self.next += 1;
        self.skip_space();
        let at = self.at();
        let Some(Kind::String(name, _)) = self.peek().cloned() else {
            return Err(self.unexpected(&format!("{word} clause")));
        };
        self.next += 1;
        self.skip_space();
        let argument = if self.peek() == Some(&Kind::Close) {
            self.next += 1;
            None
        } else if word == "define" {
            return Err(self.unexpected("define clause"));
        } else {
            Some(self.pipe(word, false)?)
        };
        if word == "template" {
            return Ok(Parsed::Node(Node::Call { name, at, argument }));
        }
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let (nodes, end) = self.list()?;
        self.variables = outer;
        if end != Stop::Here {
            return Err(self.error("unexpected EOF"));
        }
        self.defined.insert(name.clone(), nodes);
        Ok(if word == "block" { Parsed::Node(Node::Call { name, at, argument }) } else { Parsed::Nothing })
    }

    /// A pipeline up to and with the `}}` after it.
    fn pipe(&mut self, context: &str, in_range: bool) -> Result<Pipe> {
        let pipe = self.pipe_until(context, in_range, &Kind::Close)?;
        self.next += 1;
        Ok(pipe)
    }

    fn pipe_until(&mut self, context: &str, in_range: bool, end: &Kind) -> Result<Pipe> {
        self.skip_space();
        let mut pipe = Pipe { at: self.at(), variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, in_range)?;
        loop {
            self.skip_space();
            match self.peek() {
                Some(kind) if kind == end => {
                    if pipe.commands.is_empty() {
                        self.next += 1;
                        return Err(self.error(format!("missing value for {context}")));
                    }
                    if !pipe.assigns {
                        self.variables.extend(pipe.variables.iter().cloned());
                    }
                    return Ok(pipe);
                }
                Some(
                    Kind::Dot
                    | Kind::Field(_)
                    | Kind::Variable(_)
                    | Kind::Identifier(_)
                    | Kind::String(..)
                    | Kind::Number(_)
                    | Kind::Char(..)
                    | Kind::LeftParen,
                ) => {
                    let command = self.command(end)?;
                    if !pipe.commands.is_empty() && !command[0].is_callable() {
                        let stage = pipe.commands.len() + 1;
                        return Err(self.error(format!("non executable command in pipeline stage {stage}")));
                    }
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(context)),
            }
        }
    }

    fn declarations(&mut self, pipe: &mut Pipe, in_range: bool) -> Result<()> {
        let start = self.next;
        let mut names = Vec::new();
        while let Some(Kind::Variable(name)) = self.peek().cloned() {
            self.next += 1;
            self.skip_space();
            names.push(name);
            match self.peek() {
                Some(Kind::Declare) => {
                    self.next += 1;
                    pipe.variables = names;
                    return Ok(());
                }
                Some(Kind::Assign) => {
                    self.next += 1;
                    if let Some(unknown) = names.iter().find(|name| !self.variables.contains(name)) {
                        return Err(self.error(format!("undefined variable {unknown:?}")));
                    }
                    pipe.assigns = true;
                    pipe.variables = names;
                    return Ok(());
                }
                Some(Kind::Comma) if in_range && names.len() == 1 => {
                    self.next += 1;
                    self.skip_space();
                }
                _ => break,
            }
        }
        self.next = start;
        Ok(())
    }

    fn command(&mut self, end: &Kind) -> Result<Vec<Operand>> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            operands.extend(self.operand()?);
            match self.peek() {
                Some(Kind::Space) => {}
                Some(Kind::Pipe) => {
                    self.next += 1;
                    break;
                }
                Some(kind) if kind == end => break,
                _ => return Err(self.unexpected("operand")),
            }
        }
        if operands.is_empty() { Err(self.error("empty command")) } else { Ok(operands) }
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let at = self.at();
        let Some(kind) = self.peek().cloned() else { return Err(self.unexpected("operand")) };
        let kind = match kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field(name) => OperandKind::Field(vec![name]),
            Kind::Variable(name) => {
                if !self.variables.contains(&name) {
                    self.next += 1;
                    return Err(self.error(format!("undefined variable {name:?}")));
                }
                OperandKind::Variable(vec![name])
            }
            Kind::Identifier(word) => match word.as_str() {
                "true" => OperandKind::Bool(true),
                "false" => OperandKind::Bool(false),
                "nil" => OperandKind::Nil,
                name if funcs::exists(name) => OperandKind::Function(word),
                name => {
                    self.next += 1;
                    return Err(self.error(format!("function {name:?} not defined")));
                }
            },
            Kind::String(value, source) => OperandKind::String { value, source },
            Kind::Char(value, text) => OperandKind::Int { text, value: i128::from(value as u32) },
            Kind::Number(text) => match number(&text) {
                Some(kind) => kind,
                None => {
                    self.next += 1;
                    return Err(self.error(format!("bad number syntax: {text:?}")));
                }
            },
            Kind::LeftParen => {
                self.next += 1;
                let pipe = self.pipe_until("parenthesized pipeline", false, &Kind::RightParen)?;
                OperandKind::Pipe(Box::new(pipe))
            }
            _ => return Ok(None),
        };
        self.next += 1;
        self.chain(Operand { at, kind }).map(Some)
    }

    /// Fields that follow an operand without a blank.
    fn chain(&mut self, operand: Operand) -> Result<Operand> {
        let at = self.at();
        let mut names = Vec::new();
        while let Some(Kind::Field(name)) = self.peek().cloned() {
            self.next += 1;
            names.push(name);
        }
        if names.is_empty() {
            return Ok(operand);
        }
        // Go takes the place of the second word for the whole chain.
        let kind = match operand.kind {
            OperandKind::Field(mut all) => {
                all.extend(names);
                OperandKind::Field(all)
            }
            OperandKind::Variable(mut all) => {
                all.extend(names);
                OperandKind::Variable(all)
            }
            OperandKind::Pipe(_) | OperandKind::Function(_) | OperandKind::Chain(..) => {
                OperandKind::Chain(Box::new(operand), names)
            }
            _ => return Err(self.error(format!("unexpected . after term {:?}", operand.to_string()))),
        };
        Ok(Operand { at, kind })
    }
}

fn describe(kind: &Kind) -> String {
    const KEYWORDS: [&str; 10] =
        ["if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"];
    match kind {
        Kind::Text(text) => format!("{text:?}"),
        Kind::Open => "\"{{\"".to_owned(),
        Kind::Close => "\"}}\"".to_owned(),
        Kind::Field(name) => format!("<.{name}>"),
        Kind::Dot => "<.>".to_owned(),
        Kind::Identifier(name) if KEYWORDS.contains(&name.as_str()) => format!("<{name}>"),
        Kind::Identifier(name) | Kind::Variable(name) => format!("{name:?}"),
        Kind::String(_, source) | Kind::Char(_, source) | Kind::Number(source) => format!("{source:?}"),
        Kind::Pipe => "\"|\"".to_owned(),
        Kind::LeftParen => "\"(\"".to_owned(),
        Kind::RightParen => "\")\"".to_owned(),
        Kind::Declare => "\":=\"".to_owned(),
        Kind::Assign => "\"=\"".to_owned(),
        Kind::Comma => "\",\"".to_owned(),
        Kind::Space => "\" \"".to_owned(),
    }
}

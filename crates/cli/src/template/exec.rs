//! Applying a template to a value.

use std::rc::Rc;

use super::TemplateError;
use super::funcs::{self, Functions};
use super::parse::Template;
use super::print;
use super::tree::{Node, Operand, OperandKind, Pipe, command_text};
use super::value::{Record, Value, omitted_field};

/// Nested `{{template}}` calls beyond this are taken for endless ones, as in Go.
const DEPTH_MAX: usize = 1_000;

impl Template {
    /// Applies it to `data`.
    pub(crate) fn execute(&self, data: &Value, functions: Functions) -> Result<String, TemplateError> {
        let mut state = State {
            template: self,
            functions,
            variables: vec![("$".to_owned(), data.clone())],
            out: String::new(),
            depth: 0,
        };
        state.walk(data, &self.root)?;
        Ok(state.out)
    }
}

/// What a list of nodes tells the loop around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct State<'a> {
    template: &'a Template,
    functions: Functions,
    variables: Vec<(String, Value)>,
    out: String,
    depth: usize,
}

type Result<T, E = TemplateError> = std::result::Result<T, E>;

impl State<'_> {
    fn error(&self, at: usize, context: &str, what: &str) -> TemplateError {
        let before = self.template.source.get(..at).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        TemplateError(format!("template: :{line}:{column}: executing \"\" at <{context}>: {what}"))
    }

    fn walk(&mut self, dot: &Value, nodes: &[Node]) -> Result<Flow> {
        for node in nodes {
            let flow = self.walk_one(dot, node)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn walk_one(&mut self, dot: &Value, node: &Node) -> Result<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    if let Value::Method(_) = value {
                        return Err(self.error(pipe.at, &pipe.to_string(), "can't print func"));
                    }
                    self.out.push_str(&print::shown(&value));
                }
            }
            Node::If(pipe, body, otherwise) => return self.branch(dot, pipe, body, otherwise, false),
            Node::With(pipe, body, otherwise) => return self.branch(dot, pipe, body, otherwise, true),
            Node::Range(pipe, body, otherwise) => return self.range(dot, pipe, body, otherwise),
            Node::Call { name, at, argument } => self.call_template(dot, name, *at, argument.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn branch(
        &mut self,
        dot: &Value,
        pipe: &Pipe,
        body: &[Node],
        otherwise: &[Node],
        with: bool,
    ) -> Result<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(dot, pipe)?;
        let flow = match (value.is_true(), with) {
            (true, true) => self.walk(&value, body)?,
            (true, false) => self.walk(dot, body)?,
            (false, _) => self.walk(dot, otherwise)?,
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, pipe: &Pipe, body: &[Node], otherwise: &[Node]) -> Result<Flow> {
        let scope = self.variables.len();
        let value = self.commands(dot, pipe)?;
        let entries: Vec<(Value, Value)> = match &value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (Value::Int(index as i128), item.clone()))
                .collect(),
            Value::Map(_) | Value::Record(_) => {
                print::sorted(&value).into_iter().map(|(key, value)| (key.into(), value.clone())).collect()
            }
            Value::Int(count) => (0..*count).map(|index| (Value::Int(index), Value::Int(index))).collect(),
            Value::Nil | Value::Missing | Value::NilList | Value::NilMap => Vec::new(),
            other => {
                let what = format!("range can't iterate over {}", print::plain(other));
                return Err(self.error(pipe.at, &pipe.to_string(), &what));
            }
        };
        if entries.is_empty() {
            let flow = self.walk(dot, otherwise)?;
            self.variables.truncate(scope);
            return Ok(flow);
        }
        for (key, item) in entries {
            self.variables.truncate(scope);
            match (pipe.variables.as_slice(), pipe.assigns) {
                ([one], false) => self.variables.push((one.clone(), item.clone())),
                ([one, two], false) => {
                    self.variables.push((one.clone(), key));
                    self.variables.push((two.clone(), item.clone()));
                }
                ([one], true) => self.assign(one, item.clone()),
                ([one, two], true) => {
                    self.assign(one, key);
                    self.assign(two, item.clone());
                }
                _ => {}
            }
            if self.walk(&item, body)? == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::On)
    }

    fn call_template(&mut self, dot: &Value, name: &str, at: usize, argument: Option<&Pipe>) -> Result<()> {
        let context = format!("{{{{template {name:?}}}}}");
        let value = match argument {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Missing,
        };
        let template = self.template;
        let Some(nodes) = template.defined.get(name) else {
            return Err(self.error(at, &context, &format!("template {name:?} not defined")));
        };
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(at, &context, &format!("exceeded maximum template depth ({DEPTH_MAX})")));
        }
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), value.clone())]);
        self.walk(&value, nodes)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.variables.iter_mut().rev().find(|(key, _)| key == name) {
            slot.1 = value;
        }
    }

    fn commands(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(dot, command, last)?);
        }
        Ok(last.unwrap_or(Value::Missing))
    }

    fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value> {
        let value = self.commands(dot, pipe)?;
        for name in &pipe.variables {
            match pipe.assigns {
                true => self.assign(name, value.clone()),
                false => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &[Operand], last: Option<Value>) -> Result<Value> {
        let Some((first, arguments)) = command.split_first() else { return Ok(Value::Missing) };
        match &first.kind {
            OperandKind::Function(name) => return self.function(dot, first, name, command, last),
            OperandKind::Field(names) => return self.fields(dot, dot, first, names, arguments, last),
            OperandKind::Variable(names) => {
                let value = self.variable(&names[0]);
                return self.fields(dot, &value, first, &names[1..], arguments, last);
            }
            OperandKind::Chain(inner, names) => {
                let value = self.operand(dot, inner)?;
                return self.fields(dot, &value, first, names, arguments, last);
            }
            _ => {}
        }
        if !arguments.is_empty() || last.is_some() {
            let what = format!("can't give argument to non-function {first}");
            return Err(self.error(first.at, &first.to_string(), &what));
        }
        if let OperandKind::Nil = first.kind {
            return Err(self.error(first.at, "nil", "nil is not a command"));
        }
        self.operand(dot, first)
    }

    fn variable(&self, name: &str) -> Value {
        self.variables
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map_or(Value::Missing, |(_, value)| value.clone())
    }

    fn operand(&mut self, dot: &Value, operand: &Operand) -> Result<Value> {
        Ok(match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => Value::Nil,
            OperandKind::Bool(value) => Value::Bool(*value),
            OperandKind::Int { value, .. } => Value::Int(*value),
            OperandKind::Float { value, .. } => Value::Float(*value),
            OperandKind::String { value, .. } => value.as_str().into(),
            OperandKind::Field(names) => self.fields(dot, dot, operand, names, &[], None)?,
            OperandKind::Variable(names) => {
                let value = self.variable(&names[0]);
                self.fields(dot, &value, operand, &names[1..], &[], None)?
            }
            OperandKind::Pipe(pipe) => self.pipe(dot, pipe)?,
            OperandKind::Chain(inner, names) => {
                let value = self.operand(dot, inner)?;
                self.fields(dot, &value, operand, names, &[], None)?
            }
            OperandKind::Function(name) => {
                self.function(dot, operand, name, std::slice::from_ref(operand), None)?
            }
        })
    }

    /// `.A.B.C`; arguments belong to the last name.
    fn fields(
        &mut self,
        dot: &Value,
        start: &Value,
        node: &Operand,
        names: &[String],
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let mut value = start.clone();
        let mut previous = "";
        for (index, name) in names.iter().enumerate() {
            let next = self.field(&value, name, previous, node)?;
            previous = name;
            value = match next {
                Value::Method(method) => {
                    let mut values = Vec::new();
                    if index + 1 == names.len() {
                        for argument in arguments {
                            values.push(self.operand(dot, argument)?);
                        }
                        values.extend(last.clone());
                    }
                    let called =
                        method(&values).map_err(|why| self.error(node.at, &node.to_string(), &why))?;
                    if index + 1 == names.len() {
                        return Ok(called);
                    }
                    called
                }
                other => other,
            };
        }
        if arguments.is_empty() && last.is_none() {
            return Ok(value);
        }
        let name = names.last().cloned().unwrap_or_else(|| node.to_string());
        let what = match names.is_empty() {
            true => format!("can't give argument to non-function {node}"),
            false => format!("{name} is not a method but has arguments"),
        };
        Err(self.error(node.at, &node.to_string(), &what))
    }

    fn field(&self, receiver: &Value, name: &str, previous: &str, node: &Operand) -> Result<Value> {
        let fail = |what: String| Err(self.error(node.at, &node.to_string(), &what));
        match receiver {
            Value::Record(record) => match find(record, name) {
                Some(value) => Ok(value),
                None if record.type_name.is_empty() => fail(format!("map has no entry for key {name:?}")),
                None => fail(format!("can't evaluate field {name} in type {}", record.type_name)),
            },
            Value::Map(entries) => Ok(entries
                .iter()
                .find(|(key, _)| key == name)
                .map_or(Value::Missing, |(_, value)| value.clone())),
            Value::NilMap | Value::Missing => Ok(Value::Missing),
            Value::Nil if omitted_field(previous).is_some() => {
                fail(format!("map has no entry for key {previous:?}"))
            }
            Value::Nil | Value::NilList => fail(format!("nil data; no entry for key {name:?}")),
            other => fail(format!("can't evaluate field {name} in type {}", funcs::type_name(other))),
        }
    }

    fn function(
        &mut self,
        dot: &Value,
        node: &Operand,
        name: &str,
        command: &[Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let arguments = &command[1..];
        let count = arguments.len() + usize::from(last.is_some());
        let (least, most) = funcs::arity(name);
        if count < least || most.is_some_and(|most| count > most) {
            let want = if most == Some(least) { least.to_string() } else { format!("at least {least}") };
            let what = format!("wrong number of args for {name}: want {want} got {count}");
            return Err(self.error(node.at, &node.to_string(), &what));
        }
        if name == "and" || name == "or" {
            let mut value = Value::Missing;
            for argument in arguments {
                value = self.operand(dot, argument)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut values = Vec::with_capacity(count);
        for argument in arguments {
            values.push(self.operand(dot, argument)?);
        }
        values.extend(last);
        funcs::call(name, &values, self.functions).map_err(|error| match error {
            funcs::CallError::Type { index, what } => {
                let place = arguments.get(index).unwrap_or(node);
                self.error(place.at, &place.to_string(), &what)
            }
            funcs::CallError::Failed(why) => {
                // Go names what is called where it cannot be.
                let why = match (why.strip_prefix("non-function of"), arguments.first()) {
                    (Some(rest), Some(called)) => format!("non-function {called} of{rest}"),
                    _ => why,
                };
                self.error(node.at, &command_text(command), &format!("error calling {name}: {why}"))
            }
        })
    }
}

/// A field by its name in JSON or in Go, or one that JSON leaves out.
fn find(record: &Rc<Record>, name: &str) -> Option<Value> {
    let by_name =
        |name: &str| record.fields.iter().find(|field| field.name == name).map(|field| field.value.clone());
    let in_json = match name {
        "ID" => "Id",
        "APIVersion" => "ApiVersion",
        "HostIP" => "HostIp",
        "NanoCPUs" => "NanoCpus",
        "DNS" => "Dns",
        "DNSOptions" => "DnsOptions",
        "DNSSearch" => "DnsSearch",
        "CPUShares" => "CpuShares",
        "CPUPeriod" => "CpuPeriod",
        "CPUQuota" => "CpuQuota",
        _ => "",
    };
    // `scope`, `timeNano`, `id` of an event.
    let mut letters = if name == "ID" { "id" } else { name }.chars();
    let lower: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    by_name(name).or_else(|| by_name(in_json)).or_else(|| by_name(&lower)).or_else(|| {
        match record.type_name {
            "" => omitted_field(name),
            _ => None,
        }
    })
}

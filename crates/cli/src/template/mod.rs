//! Go's `text/template`, with the functions that Docker adds.
//!
//! ```text
//! text --parse--> Template (a tree of nodes) --execute(Value)--> text
//! ```
//! The grammar, the order in which things are evaluated and the words of errors are those of Go, because users write
//! their formats for Docker. Left out: method calls on Go types that do not exist here, and complex numbers.

mod exec;
mod funcs;
mod lex;
mod parse;
mod print;
mod tree;
mod value;

pub(crate) use funcs::Functions;
pub(crate) use parse::Template;
pub(crate) use value::Value;

/// A template that cannot be read or cannot be applied. Its text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TemplateError(pub(crate) String);

#[cfg(test)]
mod tests;

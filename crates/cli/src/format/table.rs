//! Lists in Docker's forms: a table, a table of the user's columns, a template per row, JSON per row.

use crate::Failure;
use crate::format::tabwriter;
use crate::template::{Functions, Template, Value};

/// How a list is shown.
pub(crate) struct Table<'a> {
    /// The form that was asked for: `table ...`, `json`, or a template.
    pub(crate) format: &'a str,
    /// Column names with their headings.
    pub(crate) headings: Vec<(&'static str, &'static str)>,
}

impl Table<'_> {
    /// The template behind the form.
    pub(crate) fn template(&self) -> Result<Template, Failure> {
        template_of(self.format)
    }

    /// Writes all rows.
    pub(crate) fn print(&self, rows: &[Value]) -> Result<(), Failure> {
        crate::print(&self.render(rows)?);
        Ok(())
    }

    /// All rows as text.
    pub(crate) fn render(&self, rows: &[Value]) -> Result<String, Failure> {
        let template = self.template()?;
        let mut body = String::new();
        for row in rows {
            let line = template
                .execute(row, Functions::Data)
                .map_err(|error| Failure::new(format!("template parsing error: {error}")))?;
            body.push_str(&line);
            body.push('\n');
        }
        if !is_table(self.format) {
            return Ok(body);
        }
        // Where a column's heading cannot be computed, Docker shows none either.
        let head = template.execute(&Value::headings(&self.headings), Functions::Heading).unwrap_or_default();
        Ok(tabwriter::align(&format!("{head}\n{body}"), tabwriter::MIN_WIDTH, tabwriter::PADDING))
    }
}

/// Whether the form has headings and columns.
pub(crate) fn is_table(format: &str) -> bool {
    format.starts_with("table")
}

/// The template behind a form.
pub(crate) fn template_of(format: &str) -> Result<Template, Failure> {
    let text = match format {
        "json" => "{{json .}}",
        other => other.strip_prefix("table").unwrap_or(other),
    };
    let text = text.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
    Template::parse(&text).map_err(|error| Failure::new(format!("template parsing error: {error}")))
}

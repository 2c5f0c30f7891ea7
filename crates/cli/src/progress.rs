//! The progress of a pull, load or import: a stream of JSON objects shown line by line, or in place on a terminal.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::Failure;
use crate::format::units::human_size;

/// Widths at which Docker leaves parts of a progress line out.
const BAR_FROM_WIDTH: usize = 110;
const TIME_FROM_WIDTH: usize = 50;
/// Width when there is no terminal to ask.
const UNKNOWN_WIDTH: usize = 200;

/// Where progress goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Stdout,
    Stderr,
    /// Only errors matter.
    Nowhere,
}

impl Target {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => crate::term::stdout_is_terminal(),
            Self::Stderr => crate::term::stderr_is_terminal(),
            Self::Nowhere => false,
        }
    }

    fn width(self) -> usize {
        let size = match self {
            Self::Stderr => rustix::termios::tcgetwinsize(rustix::stdio::stderr()),
            _ => rustix::termios::tcgetwinsize(rustix::stdio::stdout()),
        };
        size.map_or(UNKNOWN_WIDTH, |size| size.ws_col.into())
    }

    fn write(self, text: &str) {
        match self {
            Self::Stdout => crate::print(text),
            // There is nowhere to report that standard error cannot be written.
            Self::Stderr => drop(io::stderr().lock().write_all(text.as_bytes())),
            Self::Nowhere => {}
        }
    }
}

/// Shows a stream to its end; an error in it is the daemon's answer.
pub(crate) fn show(stream: impl Read, target: Target) -> Result<(), Failure> {
    let mut screen = Screen { terminal: target.is_terminal(), width: target.width(), lines: HashMap::new() };
    let reader = io::BufReader::new(stream);
    for message in serde_json::Deserializer::from_reader(reader).into_iter::<Value>() {
        let message = message.map_err(|error| Failure::new(json_error(&error)))?;
        let mut text = String::new();
        let result = screen.show(&message, now_seconds(), &mut text);
        target.write(&text);
        result?;
    }
    Ok(())
}

fn json_error(error: &serde_json::Error) -> String {
    if error.is_eof() { "unexpected EOF".to_owned() } else { error.to_string() }
}

fn now_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

/// What is on the screen: which id stands in which line of the current block.
struct Screen {
    terminal: bool,
    width: usize,
    lines: HashMap<String, usize>,
}

impl Screen {
    fn show(&mut self, message: &Value, now: i64, out: &mut String) -> Result<(), Failure> {
        if message.get("aux").is_some_and(|aux| !aux.is_null()) {
            return Ok(());
        }
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        let id = text("id");
        let detail = message.get("progressDetail").filter(|detail| detail.is_object());
        let mut up = 0;
        if !id.is_empty() && (detail.is_some() || !text("progress").is_empty()) {
            let count = self.lines.len();
            let line = *self.lines.entry(id.to_owned()).or_insert_with(|| {
                if self.terminal {
                    out.push('\n');
                }
                count
            });
            up = self.lines.len() - line;
            if self.terminal {
                let _ = write!(out, "\x1b[{up}A");
            }
        } else {
            self.lines.clear();
        }
        let result = self.line(message, detail, now, out);
        if !id.is_empty() && self.terminal && up > 0 {
            let _ = write!(out, "\x1b[{up}B");
        }
        result
    }

    fn line(
        &self,
        message: &Value,
        detail: Option<&Value>,
        now: i64,
        out: &mut String,
    ) -> Result<(), Failure> {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        if let Some(error) = message["errorDetail"]["message"].as_str().or(message["error"].as_str()) {
            return Err(Failure::new(error));
        }
        let bar = detail.map(|detail| progress_bar(detail, self.width, now)).unwrap_or_default();
        let mut end = "";
        if self.terminal && text("stream").is_empty() && detail.is_some() {
            out.push_str("\x1b[2K\r");
            end = "\r";
        } else if !bar.is_empty() {
            // Bars are for terminals.
            return Ok(());
        }
        if !text("id").is_empty() {
            let _ = write!(out, "{}: ", text("id"));
        }
        if detail.is_some() && self.terminal {
            let _ = write!(out, "{} {bar}{end}", text("status"));
        } else if !text("progress").is_empty() {
            let _ = write!(out, "{} {}{end}", text("status"), text("progress"));
        } else if !text("stream").is_empty() {
            let _ = write!(out, "{}{end}", text("stream"));
        } else {
            let _ = writeln!(out, "{}{end}", text("status"));
        }
        Ok(())
    }
}

/// `[=====>     ]  1.2MB/3.4MB 5s`.
fn progress_bar(detail: &Value, width: usize, now: i64) -> String {
    let number = |name: &str| detail[name].as_i64().unwrap_or(0);
    let (current, total, start) = (number("current"), number("total"), number("start"));
    let units = detail["units"].as_str().unwrap_or_default();
    if current <= 0 && total <= 0 {
        return String::new();
    }
    let size = |bytes: i64| human_size(bytes as f64);
    if total <= 0 {
        return if units.is_empty() { format!("{:>8}", size(current)) } else { format!("{current} {units}") };
    }
    let percentage = usize::try_from((current as f64 / total as f64 * 100.0) as i64 / 2).unwrap_or(0).min(50);
    let mut text = String::new();
    if width > BAR_FROM_WIDTH {
        let _ = write!(text, "[{}>{}] ", "=".repeat(percentage), " ".repeat(50 - percentage));
    }
    match (detail["hidecounts"].as_bool().unwrap_or(false), units.is_empty(), current > total) {
        (true, ..) => {}
        (_, true, true) => text.push_str(&format!("{:>8}", size(current))),
        (_, true, false) => text.push_str(&format!("{:>8}/{}", size(current), size(total))),
        (_, false, true) => text.push_str(&format!("{current} {units}")),
        (_, false, false) => text.push_str(&format!("{current}/{total} {units}")),
    }
    if width > TIME_FROM_WIDTH && current > 0 && start > 0 && percentage < 50 {
        let left = (now - start) as f64 / current as f64 * (total - current) as f64;
        let _ = write!(
            text,
            " {}",
            crate::format::units::go_duration((left.round() as i64).saturating_mul(1_000_000_000))
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(messages: &[Value], terminal: bool) -> String {
        let mut screen = Screen { terminal, width: 120, lines: HashMap::new() };
        let mut out = String::new();
        for message in messages {
            screen.show(message, 0, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn without_a_terminal_bars_are_left_out() {
        let messages = [
            json!({"status":"Pulling from library/busybox","id":"latest"}),
            json!({"status":"Pulling fs layer","progressDetail":{},"id":"a"}),
            json!({"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"a"}),
            json!({"status":"Pull complete","progressDetail":{},"id":"a"}),
            json!({"stream":"Loaded image: x\n"}),
        ];
        let expect =
            "latest: Pulling from library/busybox\na: Pulling fs layer\na: Pull complete\nLoaded image: x\n";
        assert_eq!(shown(&messages, false), expect);
    }

    #[test]
    fn on_a_terminal_lines_are_rewritten_in_place() {
        let messages = [
            json!({"status":"Waiting","progressDetail":{},"id":"a"}),
            json!({"status":"Downloading","progressDetail":{"current":500,"total":1000},"id":"a"}),
        ];
        let bar = format!("[{}>{}]     500B/1kB", "=".repeat(25), " ".repeat(25));
        let expect =
            format!("\n\x1b[1A\x1b[2K\ra: Waiting \r\x1b[1B\x1b[1A\x1b[2K\ra: Downloading {bar}\r\x1b[1B");
        assert_eq!(shown(&messages, true), expect);
    }
}

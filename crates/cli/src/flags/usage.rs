//! `--help` in Docker's layout: cobra's template and pflag's `FlagUsagesWrapped`.

use super::{Action, Command, Flag, Kind};

const DEFAULT_WIDTH: usize = 80;
/// pflag does not wrap into less than this.
const NARROWEST: usize = 24;
/// Command names are padded to at least this.
const NAME_PADDING: usize = 11;

const EXPERIMENTAL: &str = "  Experimental features provide early access to product functionality. These
  features may change between releases without warning, or can be removed from a
  future release. Learn more about experimental features in our documentation:
  https://docs.docker.com/go/experimental/
";

/// Columns of the terminal on standard input, where Docker looks.
pub(crate) fn wrap_width() -> usize {
    let columns =
        rustix::termios::tcgetwinsize(rustix::stdio::stdin()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { DEFAULT_WIDTH } else { columns }
}

/// The whole text of `PATH --help`.
///
/// `plugins` are commands that other programs bring: name and what it is for.
pub(crate) fn help_text(path: &str, command: &Command, width: usize, plugins: &[(String, String)]) -> String {
    let is_root = !path.contains(' ');
    let mut text = String::from("Usage:  ");
    text.push_str(&match command.action {
        Action::Run(_) => use_line(path, command),
        Action::Group(_) if is_root => format!("{path} [OPTIONS] COMMAND"),
        Action::Group(_) => format!("{path} COMMAND"),
    });
    text.push_str("\n\n");
    text.push_str(if command.long.is_empty() { command.about } else { command.long });
    text.push('\n');
    if !command.aliases.is_empty() {
        text.push_str(&format!("\nAliases:\n  {}\n", command.aliases));
    }
    if command.experimental {
        text.push_str(&format!("\nEXPERIMENTAL:\n  {path} is an experimental feature.\n{EXPERIMENTAL}"));
    }
    let flags = flag_usages(command.all_flags().collect(), width.saturating_sub(1));
    if !flags.is_empty() && !is_root {
        text.push_str(&format!("\nOptions:\n{flags}\n"));
    }
    if let Action::Group(children) = command.action {
        command_lists(&mut text, children, is_root.then_some(plugins));
        if !flags.is_empty() && is_root {
            text.push_str(&format!("\nGlobal Options:\n{flags}\n"));
        }
        text.push_str(&format!("\nRun '{path} COMMAND --help' for more information on a command.\n"));
    }
    if is_root {
        text.push_str("\nFor more help on how to use Docker, head to https://docs.docker.com/go/guides/\n");
    }
    text
}

/// `docker run [OPTIONS] IMAGE [COMMAND] [ARG...]`.
pub(crate) fn use_line(path: &str, command: &Command) -> String {
    match command.usage {
        "" => path.to_owned(),
        usage => format!("{path} {usage}"),
    }
}

/// The lists of commands. Only the root, which has `plugins`, tells kinds of commands apart.
fn command_lists(text: &mut String, children: &[&Command], plugins: Option<&[(String, String)]>) {
    let shown: Vec<&Command> = children.iter().copied().filter(|child| !child.hidden).collect();
    let longest = shown.iter().map(|child| child.name.len()).max().unwrap_or(0);
    let longest_plugin =
        plugins.unwrap_or_default().iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    let padding = longest.max(longest_plugin).max(NAME_PADDING);
    let row = |child: &&Command| (child.name.to_owned(), child.about.to_owned());
    let mut list = |title: &str, rows: Vec<(String, String)>| {
        if !rows.is_empty() {
            text.push_str(&format!("\n{title}:\n"));
            for (name, about) in rows {
                text.push_str(&format!("  {name:padding$} {about}\n"));
            }
        }
    };
    let is_group = |child: &&&Command| matches!(child.action, Action::Group(_));
    let Some(plugins) = plugins else {
        list("Commands", shown.iter().map(row).collect());
        return;
    };
    let mut common: Vec<&Command> = shown.iter().copied().filter(|child| child.rank > 0).collect();
    common.sort_by_key(|child| child.rank);
    list("Common Commands", common.iter().map(row).collect());
    let mut groups: Vec<(String, String)> = shown.iter().filter(is_group).map(row).collect();
    groups.extend(plugins.iter().map(|(name, about)| (format!("{name}*"), about.clone())));
    groups.sort();
    list("Management Commands", groups);
    list("Commands", shown.iter().filter(|child| child.rank == 0 && !is_group(child)).map(row).collect());
}

/// pflag's `FlagUsagesWrapped`: names, word and usage in two columns, the second one wrapped at `columns`.
fn flag_usages(mut flags: Vec<&Flag>, columns: usize) -> String {
    flags.sort_by_key(|flag| flag.name);
    let shown: Vec<(String, String)> =
        flags.iter().filter(|flag| !flag.hidden).map(|flag| (left_part(flag), right_part(flag))).collect();
    let widest = shown.iter().map(|(left, _)| left.len()).max().unwrap_or(0) + 1;
    let lines: Vec<String> = shown
        .iter()
        .map(|(left, right)| {
            // Printed by Go's Fprintln, which puts a blank on both sides of the padding.
            let padding = " ".repeat(widest - left.len());
            format!("{left} {padding} {}", wrap(right, widest + 2, columns)).trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

fn left_part(flag: &Flag) -> String {
    let names = match flag.short {
        Some(short) => format!("  -{short}, --{}", flag.name),
        None => format!("      --{}", flag.name),
    };
    match flag.kind.word() {
        "" => names,
        word => format!("{names} {word}"),
    }
}

fn right_part(flag: &Flag) -> String {
    match flag.default {
        None => flag.usage.to_owned(),
        Some(default) if flag.kind == Kind::Str => format!("{} (default \"{default}\")", flag.usage),
        Some(default) => format!("{} (default {default})", flag.usage),
    }
}

/// pflag's `wrap`: `indent` spaces before each line but the first.
fn wrap(text: &str, indent: usize, width: usize) -> String {
    let joint = format!("\n{}", " ".repeat(indent));
    if width == 0 {
        return text.replace('\n', &joint);
    }
    let mut indent = indent;
    let mut room = width.saturating_sub(indent);
    let mut result = String::new();
    if room < NARROWEST {
        indent = 16;
        room = width.saturating_sub(indent);
        result.push('\n');
        result.push_str(&" ".repeat(indent));
    }
    if room < NARROWEST {
        return text.replace('\n', &joint);
    }
    // A little slop keeps one short word from standing alone on a line.
    let slop = 5;
    room -= slop;
    let joint = format!("\n{}", " ".repeat(indent));
    let (first, mut rest) = wrap_once(room, slop, text);
    result.push_str(&first.replace('\n', &joint));
    while !rest.is_empty() {
        let (line, after) = wrap_once(room, slop, rest);
        result.push_str(&joint);
        result.push_str(&line.replace('\n', &joint));
        rest = after;
    }
    result
}

/// pflag's `wrapN`: breaks at the last blank within `room`, or takes all when it fits into `room + slop`.
fn wrap_once(room: usize, slop: usize, text: &str) -> (&str, &str) {
    if room + slop > text.len() {
        return (text, "");
    }
    let head = text.get(..room).unwrap_or(text);
    match head.rfind([' ', '\t', '\n']) {
        None | Some(0) => (text, ""),
        Some(space) => {
            if let Some(newline) = head.find('\n')
                && newline > 0
                && newline < space
            {
                return (&text[..newline], &text[newline + 1..]);
            }
            (&text[..space], &text[space + 1..])
        }
    }
}

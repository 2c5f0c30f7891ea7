//! House rules that a compiler does not know.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Past this a file must say at its top why it is one (`//! Long because ...`).
const LINES_MAX: usize = 1000;

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "tests"] {
        collect(&root.join(folder), &mut files)?;
    }
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        check_file(&shown, &text, &mut faults);
    }
    Ok(faults)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn check_file(shown: &str, text: &str, faults: &mut Vec<String>) {
    if shown.starts_with("xtask/") {
        return; // names the words it looks for
    }
    let in_linux = shown.starts_with("crates/linux/");
    if !in_linux && text.contains("allow(unsafe_code)") {
        faults.push(format!("{shown}: unsafe code outside crates/linux"));
    }
    let mut justified = false;
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            justified |= trimmed.contains("SAFETY:");
            continue;
        }
        if in_linux && opens_unsafe(trimmed) && !justified {
            faults.push(format!("{shown}:{}: unsafe without a SAFETY comment", at + 1));
        }
        // One comment may stand before an expression of several lines; it ends with the statement.
        if trimmed.ends_with(';') || trimmed.ends_with('}') || trimmed.is_empty() {
            justified = false;
        }
        for word in ["todo!(", "unimplemented!(", "dbg!("] {
            if trimmed.contains(word) {
                faults.push(format!("{shown}:{}: {word})", at + 1));
            }
        }
    }
    let lines = text.lines().count();
    if lines > LINES_MAX && !text.lines().take(30).any(|line| line.contains("Long because")) {
        faults.push(format!("{shown}: {lines} lines; split it, or say at the top \"Long because ...\""));
    }
}

fn opens_unsafe(line: &str) -> bool {
    line.contains("unsafe {") || line.contains("unsafe impl")
}

//! Signals by the names and numbers users type (moby `sys/signal`).

use types::{Error, Result};

/// SIGKILL, the same on every architecture.
pub(crate) const KILL: i32 = 9;
/// SIGTERM, the default stop signal.
pub(crate) const TERM: i32 = 15;

/// Names without `SIG`, at their numbers (x86-64 and arm64 share them).
const NAMES: [(&str, i32); 36] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// Reads `KILL`, `SIGKILL`, `sigkill`, `9`, `RTMIN+3` ...
pub(crate) fn parse(text: &str) -> Result<i32> {
    let invalid = || Error::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return match number {
            0 => Err(invalid()),
            1..=64 => Ok(number),
            _ => Err(Error::invalid(format!("the linux daemon does not support signal {number}"))),
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let real_time = |prefix: &str, sign: i32, base: i32| {
        let offset: i32 = name.strip_prefix(prefix)?.parse().ok()?;
        let limit = if sign > 0 { 15 } else { 14 };
        (1..=limit).contains(&offset).then_some(base + sign * offset)
    };
    real_time("RTMIN+", 1, 34).or_else(|| real_time("RTMAX-", -1, 64)).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for (text, want) in [
            ("KILL", Some(9)),
            ("SIGKILL", Some(9)),
            ("sigterm", Some(15)),
            ("9", Some(9)),
            ("64", Some(64)),
            ("RTMIN+3", Some(37)),
            ("SIGRTMAX-1", Some(63)),
            ("RTMIN+16", None),
            ("0", None),
            ("65", None),
            ("-1", None),
            ("USR9", None),
            ("", None),
            ("SIG", None),
        ] {
            assert_eq!(parse(text).ok(), want, "{text}");
        }
        assert_eq!(parse("USR9").unwrap_err().message, "invalid signal: USR9");
    }
}

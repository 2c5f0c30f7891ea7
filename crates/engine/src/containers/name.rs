//! Container names.

use types::{Error, Result};

/// The name without its leading slash, if Docker would take it.
pub(crate) fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = bare.len() > 1 && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest {
        Ok(bare)
    } else {
        Err(Error::invalid(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

const MOODS: [&str; 48] = [
    "able", "agile", "amber", "brave", "bright", "brisk", "calm", "candid", "clever", "coral", "crisp",
    "daring", "deft", "eager", "early", "fair", "fleet", "fond", "frank", "gentle", "glad", "golden",
    "grand", "handy", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid",
    "merry", "mild", "modest", "neat", "noble", "patient", "proud", "quick", "quiet", "ready", "sharp",
    "steady", "sunny", "tidy", "warm",
];

const SHIPS: [&str; 48] = [
    "argo", "barge", "bark", "beacon", "bow", "brig", "buoy", "cape", "clipper", "cog", "coracle", "cutter",
    "dhow", "dinghy", "dock", "dory", "ferry", "galley", "gull", "harbor", "hull", "jetty", "junk", "kayak",
    "keel", "ketch", "lagoon", "launch", "lighter", "lugger", "mast", "packet", "pier", "pilot", "prow",
    "quay", "raft", "reef", "rudder", "sail", "schooner", "skiff", "sloop", "tender", "tide", "trawler",
    "tug", "yawl",
];

/// A name nobody chose, `brave_sloop`; `attempt` above 0 adds digits, so that a taken name is not met for ever.
pub(crate) fn invent(random: [u8; 4], attempt: u32) -> String {
    let mood = MOODS[usize::from(random[0]) % MOODS.len()];
    let ship = SHIPS[usize::from(random[1]) % SHIPS.len()];
    if attempt == 0 {
        format!("{mood}_{ship}")
    } else {
        format!("{mood}_{ship}{}", u32::from(random[2]) + 256 * u32::from(random[3]) * u32::from(attempt > 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_in_dockers_words() {
        for (name, want) in [
            ("web", Some("web")),
            ("/web", Some("web")),
            ("a.b-c_d1", Some("a.b-c_d1")),
            ("a", None),
            ("", None),
            ("bad/name", None),
            ("_x", None),
            ("ä1", None),
        ] {
            assert_eq!(check(name).ok(), want, "{name}");
        }
        assert_eq!(
            check("bad/name").unwrap_err().message,
            "Invalid container name (bad/name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
    }

    #[test]
    fn invented_names_are_valid() {
        for n in 0..=255 {
            assert!(check(&invent([n, 255 - n, n, n], u32::from(n) % 5)).is_ok());
        }
    }
}

//! Device access: a list of rules, as the kernel's v1 controller keeps it, and as a BPF program on v2.
//!
//! Both start from the same reading of the rules ([`Access::from_rules`]): a default, and exceptions from it. A rule
//! for all devices sets the default and forgets the exceptions; a rule that agrees with the default takes its letters
//! out of the exception for exactly that device; any other adds one (`Documentation/admin-guide/cgroup-v1/devices.rst`).

use std::collections::BTreeMap;
use std::path::Path;

use types::spec::DeviceRule;

use super::file::{read, write, write_each};
use super::{Moment, Result};
use crate::bpf_device;

/// A rule that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Neither `a`, `b`, `c` nor empty.
    #[error("invalid device rule type {0:?}")]
    Kind(String),
    /// Letters other than `rwm`.
    #[error("invalid device access {0:?}")]
    Access(String),
    /// A number that no device has.
    #[error("invalid device number {0}")]
    Number(i64),
    /// The kernel cannot tell "all kinds, this number".
    #[error("device rule for all kinds cannot name a number")]
    AllWithNumber,
}

/// Which devices a rule is about. `None` is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Device {
    /// `b` or `c`.
    pub(crate) kind: u8,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

/// Bits of an access (`BPF_DEVCG_ACC_*`, linux/bpf.h).
pub(crate) const MKNOD: u8 = 1;
pub(crate) const READ: u8 = 2;
pub(crate) const WRITE: u8 = 4;

/// What the rules amount to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Access {
    pub(crate) default_allow: bool,
    pub(crate) exceptions: BTreeMap<Device, u8>,
}

impl Access {
    pub(crate) fn from_rules(rules: &[DeviceRule]) -> std::result::Result<Self, DeviceError> {
        let mut access = Self { default_allow: true, exceptions: BTreeMap::new() };
        for rule in rules {
            match parse(rule)? {
                None => access = Self { default_allow: rule.allow, exceptions: BTreeMap::new() },
                Some((device, letters)) if rule.allow == access.default_allow => {
                    if let Some(kept) = access.exceptions.get_mut(&device) {
                        *kept &= !letters;
                    }
                    access.exceptions.retain(|_, kept| *kept != 0);
                }
                Some((device, letters)) => *access.exceptions.entry(device).or_default() |= letters,
            }
        }
        Ok(access)
    }

    /// The `devices.list` file. Exceptions from "allow" are not listed there.
    pub(super) fn from_list(text: &str) -> Self {
        let mut access = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(kind), Some(numbers), Some(letters)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if kind == "a" {
                return Self { default_allow: true, exceptions: BTreeMap::new() };
            }
            let Some(&kind) = kind.as_bytes().first() else { continue };
            let number = |text: &str| text.parse::<u32>().ok();
            let (major, minor) = numbers.split_once(':').unwrap_or(("*", "*"));
            let device = Device { kind, major: number(major), minor: number(minor) };
            access.exceptions.insert(device, letters_to_bits(letters).unwrap_or(0));
        }
        access
    }
}

/// `None` is "all devices".
fn parse(rule: &DeviceRule) -> std::result::Result<Option<(Device, u8)>, DeviceError> {
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|_| DeviceError::Number(number)),
    };
    let (major, minor) = (number(rule.major)?, number(rule.minor)?);
    let letters = letters_to_bits(&rule.access).ok_or_else(|| DeviceError::Access(rule.access.clone()))?;
    match rule.kind.as_str() {
        "" | "a" if major.is_some() || minor.is_some() => Err(DeviceError::AllWithNumber),
        "" | "a" => Ok(None),
        "b" | "c" | "u" => {
            let kind = if rule.kind == "b" { b'b' } else { b'c' };
            Ok(Some((Device { kind, major, minor }, letters)))
        }
        other => Err(DeviceError::Kind(other.to_owned())),
    }
}

/// Whether a rule is well-formed.
pub fn is_device_rule_valid(rule: &DeviceRule) -> std::result::Result<(), DeviceError> {
    parse(rule).map(drop)
}

fn letters_to_bits(letters: &str) -> Option<u8> {
    letters.bytes().try_fold(0, |bits, letter| {
        Some(
            bits | match letter {
                b'r' => READ,
                b'w' => WRITE,
                b'm' => MKNOD,
                _ => return None,
            },
        )
    })
}

/// `c 1:3 rwm`
fn line(device: &Device, bits: u8) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let mut line = format!("{} {}:{} ", device.kind as char, number(device.major), number(device.minor));
    for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')] {
        if bits & bit != 0 {
            line.push(letter);
        }
    }
    line
}

/// Writes only the difference, so that no access is denied for a moment while a container runs.
pub(super) fn set_v1(directory: &Path, rules: &[DeviceRule], moment: Moment) -> Result<()> {
    let wanted = Access::from_rules(rules)?;
    let now = match moment {
        // A new cgroup has its parent's list; asking costs more than starting over.
        Moment::Create => Access { default_allow: !wanted.default_allow, exceptions: BTreeMap::new() },
        Moment::Update => Access::from_list(&read(directory, "devices.list")?),
    };
    let (agree, differ) = if wanted.default_allow {
        ("devices.allow", "devices.deny")
    } else {
        ("devices.deny", "devices.allow")
    };
    let mut known = BTreeMap::new();
    if now.default_allow == wanted.default_allow && !wanted.default_allow {
        known = now.exceptions;
    } else {
        write(directory, agree, "a")?;
    }
    for (device, bits) in &known {
        let gone = bits & !wanted.exceptions.get(device).copied().unwrap_or(0);
        if gone != 0 {
            write(directory, agree, &line(device, gone))?;
        }
    }
    // In the order of the rules: the kernel lists them as they came.
    let mut new = wanted.exceptions;
    let mut lines = Vec::new();
    for (device, _) in rules.iter().filter_map(|rule| parse(rule).ok().flatten()) {
        let Some(bits) = new.remove(&device) else { continue };
        let bits = bits & !known.get(&device).copied().unwrap_or(0);
        if bits != 0 {
            lines.push(line(&device, bits));
        }
    }
    if lines.is_empty() { Ok(()) } else { write_each(directory, differ, lines) }
}

pub(super) fn set_v2(directory: &Path, rules: &[DeviceRule], moment: Moment) -> Result<()> {
    let access = Access::from_rules(rules)?;
    if access.default_allow && access.exceptions.is_empty() && moment == Moment::Create {
        return Ok(()); // no program allows everything
    }
    let opened =
        std::fs::File::open(directory).map_err(|source| super::file::error("open", directory, source))?;
    let attached = bpf_device::attach(&opened, &access);
    attached.map_err(|source| super::file::error("attach device filter to", directory, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
        DeviceRule {
            allow,
            kind: kind.to_owned(),
            major: (major >= 0).then_some(major),
            minor: (minor >= 0).then_some(minor),
            access: access.to_owned(),
        }
    }

    fn check(rules: &[DeviceRule], default_allow: bool, lines: &[&str]) {
        let access = Access::from_rules(rules).unwrap();
        let got: Vec<String> = access.exceptions.iter().map(|(device, bits)| line(device, *bits)).collect();
        assert_eq!(
            (access.default_allow, got.iter().map(String::as_str).collect()),
            (default_allow, lines.to_vec())
        );
    }

    #[test]
    fn rules_amount_to_a_default_and_exceptions() {
        let deny_all = rule(false, "a", -1, -1, "rwm");
        check(&[], true, &[]);
        check(&[deny_all.clone(), rule(true, "c", 1, 3, "rw")], false, &["c 1:3 rw"]);
        check(
            &[deny_all.clone(), rule(true, "c", 1, 3, "r"), rule(true, "c", 1, 3, "w")],
            false,
            &["c 1:3 rw"],
        );
        check(
            &[deny_all.clone(), rule(true, "c", 1, 3, "rwm"), rule(false, "c", 1, 3, "wm")],
            false,
            &["c 1:3 r"],
        );
        check(&[deny_all.clone(), rule(true, "b", 8, -1, "r"), rule(true, "", -1, -1, "rwm")], true, &[]);
        check(&[rule(false, "c", -1, -1, "m")], true, &["c *:* m"]);
    }

    #[test]
    fn senseless_rules_are_refused() {
        assert_eq!(is_device_rule_valid(&rule(true, "x", 1, 3, "r")), Err(DeviceError::Kind("x".to_owned())));
        assert_eq!(
            is_device_rule_valid(&rule(true, "c", 1, 3, "rx")),
            Err(DeviceError::Access("rx".to_owned()))
        );
        assert_eq!(is_device_rule_valid(&rule(true, "a", 1, 3, "r")), Err(DeviceError::AllWithNumber));
    }
}

//! The profile, resolved: which number on which architecture gets which verdict, under which conditions.

use std::collections::BTreeMap;

use types::spec::{Seccomp, SeccompAction, SeccompOp, SeccompRule};

use super::Error;
use super::syscalls::{self, Column};

/// `SECCOMP_RET_*` (linux/seccomp.h): action in the upper, data in the lower 16 bits.
pub(super) mod ret {
    pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;
    pub(crate) const KILL_THREAD: u32 = 0;
    pub(crate) const TRAP: u32 = 0x0003_0000;
    pub(crate) const ERRNO: u32 = 0x0005_0000;
    pub(crate) const USER_NOTIF: u32 = 0x7fc0_0000;
    pub(crate) const TRACE: u32 = 0x7ff0_0000;
    pub(crate) const LOG: u32 = 0x7ffc_0000;
    pub(crate) const ALLOW: u32 = 0x7fff_0000;
}

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// One condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) operator: SeccompOp,
    pub(super) value: u64,
    pub(super) second: u64,
}

/// What happens to one system call: the first rule whose conditions all hold decides, otherwise `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    pub(super) rules: Vec<(Vec<Condition>, u32)>,
    pub(super) otherwise: u32,
}

/// One architecture's part. `audit` is its `AUDIT_ARCH_*` value (linux/audit.h).
#[derive(Debug)]
pub(super) struct Table {
    pub(super) audit: u32,
    /// Calls with their own verdict, x32 ones with their marker bit.
    pub(super) verdicts: BTreeMap<u32, Verdict>,
    /// Numbers above this get `ENOSYS`: newer than the profile, and a program must be able to fall back.
    pub(super) newest: Option<u32>,
    /// x86-64 only: the newest x32 number, with its marker bit, when x32 is in the profile.
    pub(super) newest_x32: Option<u32>,
}

/// A profile, ready to be emitted.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) default: u32,
    pub(super) unknown_call: u32,
    pub(super) tables: Vec<Table>,
}

/// Bit that marks an x32 call in a number of the x86-64 architecture (asm/unistd.h, `__X32_SYSCALL_BIT`).
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Filter {
    pub(super) fn from_profile(profile: &Seccomp) -> Result<Self, Error> {
        let default = action(profile.default_action, profile.default_errno_ret);
        let lenient = matches!(default & 0xffff_0000, ret::ALLOW | ret::LOG | ret::TRACE);
        let unknown_call = if lenient { default } else { ret::ERRNO | ENOSYS };
        let mut columns: Vec<Column> = native().into_iter().collect();
        for name in &profile.architectures {
            if let Some(column) = architecture(name)?.filter(|column| !columns.contains(column)) {
                columns.push(column);
            }
        }
        let mut tables: Vec<Table> = Vec::new();
        for column in columns {
            add_column(&mut tables, profile, column, default, !lenient)?;
        }
        Ok(Self { default, unknown_call, tables })
    }
}

fn add_column(
    tables: &mut Vec<Table>,
    profile: &Seccomp,
    column: Column,
    default: u32,
    strict: bool,
) -> Result<(), Error> {
    let audit = audit_value(column);
    let at = match tables.iter().position(|table| table.audit == audit) {
        Some(at) => at,
        None => {
            tables.push(Table { audit, verdicts: BTreeMap::new(), newest: None, newest_x32: None });
            tables.len() - 1
        }
    };
    let table = &mut tables[at];
    let newest = strict.then(|| syscalls::highest(column));
    let marker = match column {
        Column::X32 => {
            table.newest_x32 = Some(newest.unwrap_or(0x3fff_ffff) | X32_BIT);
            X32_BIT
        }
        _ => {
            table.newest = newest;
            0
        }
    };
    for rule in &profile.syscalls {
        add_rule(table, rule, column, marker, default)?;
    }
    Ok(())
}

fn add_rule(
    table: &mut Table,
    rule: &SeccompRule,
    column: Column,
    marker: u32,
    default: u32,
) -> Result<(), Error> {
    let verdict = action(rule.action, rule.errno_ret);
    if verdict == default {
        return Ok(()); // says nothing new; libseccomp refuses such rules and runc skips them
    }
    let mut conditions = Vec::with_capacity(rule.args.len());
    for argument in &rule.args {
        if argument.index > 5 {
            return Err(Error::ArgumentIndex(argument.index));
        }
        conditions.push(Condition {
            index: argument.index,
            operator: argument.op,
            value: argument.value,
            second: argument.value_two,
        });
    }
    for name in &rule.names {
        let Some(number) = syscalls::number(name, column) else { continue };
        let entry = table
            .verdicts
            .entry(number | marker)
            .or_insert_with(|| Verdict { rules: Vec::new(), otherwise: default });
        if conditions.is_empty() {
            // Without conditions a rule decides for all that no earlier rule caught; the first such one stays.
            if entry.otherwise == default {
                entry.otherwise = verdict;
            }
        } else if names_an_argument_twice(&conditions) {
            // runc's reading, kept because profiles rely on it: several conditions on one argument are alternatives.
            entry.rules.extend(conditions.iter().map(|condition| (vec![*condition], verdict)));
        } else {
            entry.rules.push((conditions.clone(), verdict));
        }
    }
    Ok(())
}

fn names_an_argument_twice(conditions: &[Condition]) -> bool {
    let mut seen = 0u8;
    conditions.iter().any(|condition| {
        let bit = 1 << condition.index;
        let twice = seen & bit != 0;
        seen |= bit;
        twice
    })
}

/// Whether any architecture we know has a call of this name.
pub fn known_syscall(name: &str) -> bool {
    [Column::X86_64, Column::X86, Column::X32, Column::Aarch64, Column::Arm, Column::Riscv64]
        .into_iter()
        .any(|column| syscalls::number(name, column).is_some())
}

fn action(action: SeccompAction, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(EPERM) & 0xffff;
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => ret::KILL_THREAD,
        SeccompAction::KillProcess => ret::KILL_PROCESS,
        SeccompAction::Trap => ret::TRAP,
        SeccompAction::Errno => ret::ERRNO | data,
        SeccompAction::Trace => ret::TRACE | data,
        SeccompAction::Allow => ret::ALLOW,
        SeccompAction::Log => ret::LOG,
        SeccompAction::Notify => ret::USER_NOTIF,
    }
}

/// The column of an architecture. `None` for one that the specification names but no kernel of ours runs: its calls
/// can never arrive.
fn architecture(word: &str) -> Result<Option<Column>, Error> {
    const NEVER_HERE: [&str; 18] = [
        "SCMP_ARCH_MIPS",
        "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32",
        "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64",
        "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PPC",
        "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE",
        "SCMP_ARCH_S390",
        "SCMP_ARCH_S390X",
        "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64",
        "SCMP_ARCH_LOONGARCH64",
        "SCMP_ARCH_M68K",
        "SCMP_ARCH_SH",
        "SCMP_ARCH_SHEB",
        "SCMP_ARCH_RISCV32",
    ];
    Ok(Some(match word {
        "SCMP_ARCH_NATIVE" => return Ok(native()),
        "SCMP_ARCH_X86_64" => Column::X86_64,
        "SCMP_ARCH_X86" => Column::X86,
        "SCMP_ARCH_X32" => Column::X32,
        "SCMP_ARCH_AARCH64" => Column::Aarch64,
        "SCMP_ARCH_ARM" => Column::Arm,
        "SCMP_ARCH_RISCV64" => Column::Riscv64,
        other if NEVER_HERE.contains(&other) => return Ok(None),
        _ => return Err(Error::Unknown { what: "architecture", word: word.to_owned() }),
    }))
}

fn native() -> Option<Column> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Column::X86_64),
        "x86" => Some(Column::X86),
        "aarch64" => Some(Column::Aarch64),
        "arm" => Some(Column::Arm),
        "riscv64" => Some(Column::Riscv64),
        _ => None,
    }
}

/// `AUDIT_ARCH_*`: ELF machine, 64-bit flag, little-endian flag (linux/audit.h).
fn audit_value(column: Column) -> u32 {
    match column {
        Column::X86_64 | Column::X32 => 0xc000_003e,
        Column::X86 => 0x4000_0003,
        Column::Aarch64 => 0xc000_00b7,
        Column::Arm => 0x4000_0028,
        Column::Riscv64 => 0xc000_00f3,
    }
}

/// Whether some rule, or the default, asks an agent.
pub(super) fn notifies(profile: &Seccomp) -> bool {
    profile.default_action == SeccompAction::Notify
        || profile.syscalls.iter().any(|rule| rule.action == SeccompAction::Notify)
}

//! The emitted program is run by a small BPF interpreter and compared with a direct reading of the profile.

use proptest::prelude::*;
use types::spec::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SeccompRule};

use super::rules::{Condition, Filter, Verdict, X32_BIT, ret};
use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

/// `struct seccomp_data`.
struct Call {
    number: u32,
    arch: u32,
    arguments: [u64; 6],
}

fn interpret(program: &Program, call: &Call) -> u32 {
    let load = |at: u32| -> u32 {
        match at {
            0 => call.number,
            4 => call.arch,
            16..64 => {
                let value = call.arguments[(at as usize - 16) / 8];
                if at.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 }
            }
            other => panic!("load at {other}"),
        }
    };
    let code: Vec<&[u8]> = program.as_bytes().chunks(8).collect();
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let one = code[at];
        let operation = u16::from_ne_bytes([one[0], one[1]]);
        let k = u32::from_ne_bytes([one[4], one[5], one[6], one[7]]);
        let jump = |taken: bool| usize::from(if taken { one[2] } else { one[3] });
        at += 1;
        match operation {
            0x20 => accumulator = load(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            0x06 => return k,
            other => panic!("operation {other:#x}"),
        }
    }
}

fn holds(condition: &Condition, call: &Call) -> bool {
    let argument = call.arguments[condition.index as usize];
    match condition.operator {
        SeccompOp::Ne => argument != condition.value,
        SeccompOp::Lt => argument < condition.value,
        SeccompOp::Le => argument <= condition.value,
        SeccompOp::Eq => argument == condition.value,
        SeccompOp::Ge => argument >= condition.value,
        SeccompOp::Gt => argument > condition.value,
        SeccompOp::MaskedEq => argument & condition.value == condition.second,
    }
}

/// What the profile says, read naively.
fn expected(filter: &Filter, call: &Call) -> u32 {
    let Some(table) = filter.tables.iter().find(|table| table.audit == call.arch) else {
        return ret::KILL_PROCESS;
    };
    let newest = if call.number >= X32_BIT && call.arch == X86_64 { table.newest_x32 } else { table.newest };
    let verdict = |verdict: &Verdict| {
        let hit = verdict.rules.iter().find(|(conditions, _)| conditions.iter().all(|c| holds(c, call)));
        hit.map_or(verdict.otherwise, |(_, value)| *value)
    };
    match table.verdicts.get(&call.number) {
        Some(found) => verdict(found),
        None if call.number >= X32_BIT && call.arch == X86_64 && table.newest_x32.is_none() => {
            ret::KILL_PROCESS
        }
        None if newest.is_some_and(|newest| call.number > newest) => filter.unknown_call,
        None => filter.default,
    }
}

fn rule(names: &[&str], action: SeccompAction, args: Vec<SeccompArg>) -> SeccompRule {
    SeccompRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action,
        errno_ret: None,
        args,
    }
}

fn profile(architectures: &[&str], syscalls: Vec<SeccompRule>) -> Seccomp {
    Seccomp {
        default_action: SeccompAction::Errno,
        architectures: architectures.iter().map(|name| (*name).to_owned()).collect(),
        syscalls,
        ..Seccomp::default()
    }
}

fn arg(index: u32, op: SeccompOp, value: u64, value_two: u64) -> SeccompArg {
    SeccompArg { index, value, value_two, op }
}

fn run(profile: &Seccomp, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    interpret(&compile(profile).unwrap(), &Call { number, arch, arguments })
}

#[test]
fn allowed_calls_pass_others_get_the_default_and_newer_ones_enosys() {
    let profile = profile(
        &["SCMP_ARCH_X86_64"],
        vec![rule(&["read", "write", "nosuch_call"], SeccompAction::Allow, vec![])],
    );
    assert_eq!(run(&profile, X86_64, 0, [0; 6]), ret::ALLOW);
    assert_eq!(run(&profile, X86_64, 1, [0; 6]), ret::ALLOW);
    assert_eq!(run(&profile, X86_64, 2, [0; 6]), ret::ERRNO | 1);
    assert_eq!(run(&profile, X86_64, 5000, [0; 6]), ret::ERRNO | 38);
    assert_eq!(run(&profile, X86_64, X32_BIT, [0; 6]), ret::KILL_PROCESS, "x32 is not in the profile");
    assert_eq!(run(&profile, I386, 3, [0; 6]), ret::KILL_PROCESS, "nor is i386");
}

#[test]
fn several_conditions_on_one_argument_are_alternatives() {
    let both = vec![arg(0, SeccompOp::Eq, 1, 0), arg(0, SeccompOp::Eq, 7, 0)];
    let profile = profile(&["SCMP_ARCH_X86_64"], vec![rule(&["personality"], SeccompAction::Allow, both)]);
    for (value, expect) in [(1, ret::ALLOW), (7, ret::ALLOW), (2, ret::ERRNO | 1)] {
        assert_eq!(run(&profile, X86_64, 135, [value, 0, 0, 0, 0, 0]), expect);
    }
}

#[test]
fn bad_words_are_named() {
    let bad_arch = profile(&["SCMP_ARCH_Z80"], vec![]);
    assert_eq!(
        compile(&bad_arch).unwrap_err().to_string(),
        "invalid seccomp architecture: \"SCMP_ARCH_Z80\""
    );
    let bad_index =
        profile(&[], vec![rule(&["read"], SeccompAction::Allow, vec![arg(6, SeccompOp::Eq, 0, 0)])]);
    assert_eq!(compile(&bad_index).unwrap_err().to_string(), "invalid seccomp argument index 6: want 0 to 5");
}

const NAMES: [&str; 12] = [
    "read",
    "write",
    "clone",
    "clone3",
    "openat",
    "personality",
    "socket",
    "ptrace",
    "mount",
    "futex",
    "bpf",
    "mseal",
];

fn any_profile() -> impl Strategy<Value = Seccomp> {
    let action = prop::sample::select(vec![
        SeccompAction::Allow,
        SeccompAction::Errno,
        SeccompAction::KillProcess,
        SeccompAction::Log,
    ]);
    let op = prop::sample::select(vec![
        SeccompOp::Ne,
        SeccompOp::Lt,
        SeccompOp::Le,
        SeccompOp::Eq,
        SeccompOp::Ge,
        SeccompOp::Gt,
        SeccompOp::MaskedEq,
    ]);
    let argument = (0u32..6, op, any_value(), any_value())
        .prop_map(|(index, op, value, two)| arg(index, op, value, two));
    let call =
        (prop::sample::subsequence(NAMES.to_vec(), 1..4), action, prop::collection::vec(argument, 0..4))
            .prop_map(|(names, action, args)| rule(&names, action, args));
    (prop::collection::vec(call, 0..12), any::<bool>()).prop_map(|(calls, wide)| {
        let all = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"];
        profile(if wide { &all } else { &all[..1] }, calls)
    })
}

fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..4, Just(u64::from(u32::MAX)), Just(1 << 32), Just((1 << 32) + 1), any::<u64>()]
}

proptest! {
    #[test]
    fn the_program_decides_as_the_profile_reads(
        profile in any_profile(),
        numbers in prop::collection::vec(prop_oneof![0u32..480, X32_BIT..X32_BIT + 600, any::<u32>()], 20),
        arguments in prop::array::uniform6(any_value()),
    ) {
        let filter = Filter::from_profile(&profile).unwrap();
        let program = compile(&profile).unwrap();
        for number in numbers {
            for arch in [X86_64, I386, 0xc000_00b7, 1] {
                let call = Call { number, arch, arguments };
                prop_assert_eq!(interpret(&program, &call), expected(&filter, &call), "{:#x} on {:#x}", number, arch);
            }
        }
    }
}

//! Verdicts to instructions. Code is written back to front, so that each jump's target is known when the jump is
//! written; conditional jumps reach 255 instructions, longer ones go through a `ja`.

use types::spec::SeccompOp;

use super::Error;
use super::rules::{Condition, Filter, Table, Verdict, X32_BIT, ret};

/// `BPF_MAXINSNS` (linux/bpf_common.h).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

// Classic BPF operations (linux/bpf_common.h).
const LD_ABS: u16 = 0x20;
const AND: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const RET: u16 = 0x06;

// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

/// A place in the program, counted from its end: stays right while code is put in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// The program in reverse.
struct Reverse {
    code: Vec<Instruction>,
}

impl Reverse {
    fn push(&mut self, code: u16, k: u32) -> Label {
        self.code.push(Instruction { code, jump_true: 0, jump_false: 0, k });
        Label(self.code.len())
    }

    /// Instructions between the one pushed next and `target`.
    fn distance(&self, target: Label) -> usize {
        self.code.len() - target.0
    }

    /// The jump offset to `target` for an instruction pushed after at most one more has been put in between;
    /// writes a `ja` in reach when the target is too far.
    fn reachable(&mut self, target: Label) -> Label {
        if self.distance(target) < usize::from(u8::MAX) {
            return target;
        }
        let k = self.distance(target) as u32;
        self.push(JA, k)
    }

    fn branch(&mut self, code: u16, k: u32, on_true: Label, on_false: Label) -> Label {
        let on_true = self.reachable(on_true);
        let on_false = self.reachable(on_false);
        let (jump_true, jump_false) = (self.distance(on_true) as u8, self.distance(on_false) as u8);
        self.code.push(Instruction { code, jump_true, jump_false, k });
        Label(self.code.len())
    }

    /// A `ret` within reach: the last one of this value, or a new one.
    fn ret(&mut self, value: u32) -> Label {
        let near = self.code.iter().enumerate().rev().take(200);
        let found =
            near.into_iter().find(|(_, instruction)| instruction.code == RET && instruction.k == value);
        match found {
            Some((index, _)) => Label(index + 1),
            None => self.push(RET, value),
        }
    }

    fn goto(&mut self, target: Label) -> Label {
        match self.distance(target) {
            0 => target,
            distance => self.push(JA, distance as u32),
        }
    }
}

pub(super) fn emit(filter: &Filter) -> Result<Vec<u8>, Error> {
    let mut code = Reverse { code: Vec::with_capacity(512) };
    // An architecture outside the profile is killed, as libseccomp does by default.
    let mut next = code.push(RET, ret::KILL_PROCESS);
    for table in filter.tables.iter().rev() {
        let body = emit_table(&mut code, table, filter);
        // The number is loaded on entry to the body; the architecture stays loaded on the other way.
        let body = {
            code.goto(body);
            code.push(LD_ABS, NUMBER)
        };
        next = code.branch(JEQ, table.audit, body, next);
    }
    code.goto(next);
    code.push(LD_ABS, ARCH);
    if code.code.len() > MAX_INSTRUCTIONS {
        return Err(Error::TooLong(code.code.len()));
    }
    let mut bytes = Vec::with_capacity(code.code.len() * 8);
    for instruction in code.code.iter().rev() {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.jump_true, instruction.jump_false]);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    Ok(bytes)
}

/// Consecutive numbers with one verdict, starting at `first`.
struct Range<'a> {
    first: u32,
    verdict: &'a Verdict,
}

fn emit_table(code: &mut Reverse, table: &Table, filter: &Filter) -> Label {
    let default = Verdict { rules: Vec::new(), otherwise: filter.default };
    let unknown = Verdict { rules: Vec::new(), otherwise: filter.unknown_call };
    let kill = Verdict { rules: Vec::new(), otherwise: ret::KILL_PROCESS };
    let mut ranges: Vec<Range<'_>> = Vec::new();
    let mut put = |first: u32, verdict| match ranges.last_mut() {
        Some(last) if last.first == first => last.verdict = verdict,
        Some(last) if last.verdict == verdict => {}
        _ => ranges.push(Range { first, verdict }),
    };
    // Boundaries where the background changes, then the calls themselves; all in rising order.
    let is_x86_64 = table.audit == 0xc000_003e;
    let background = |number: u32| -> &Verdict {
        if is_x86_64 && number >= X32_BIT {
            return match table.newest_x32 {
                None => &kill,
                Some(newest) if number > newest => &unknown,
                Some(_) => &default,
            };
        }
        match table.newest {
            Some(newest) if number > newest => &unknown,
            _ => &default,
        }
    };
    let mut starts: Vec<u32> = vec![0];
    starts.extend(table.newest.map(|newest| newest + 1));
    if is_x86_64 {
        starts.push(X32_BIT);
        starts.extend(table.newest_x32.map(|newest| newest + 1));
    }
    for number in table.verdicts.keys() {
        starts.extend([*number, number.saturating_add(1)]);
    }
    starts.sort_unstable();
    starts.dedup();
    for first in starts {
        put(first, table.verdicts.get(&first).unwrap_or_else(|| background(first)));
    }
    emit_search(code, &ranges)
}

/// A binary search over `ranges` on the number in the accumulator.
fn emit_search(code: &mut Reverse, ranges: &[Range<'_>]) -> Label {
    if let [only] = ranges {
        return emit_verdict(code, only.verdict);
    }
    let middle = ranges.len() / 2;
    let high = emit_search(code, &ranges[middle..]);
    let low = emit_search(code, &ranges[..middle]);
    code.branch(JGE, ranges[middle].first, high, low)
}

fn emit_verdict(code: &mut Reverse, verdict: &Verdict) -> Label {
    let mut next = code.ret(verdict.otherwise);
    for (conditions, value) in verdict.rules.iter().rev() {
        let mut matched = code.ret(*value);
        for condition in conditions.iter().rev() {
            matched = emit_condition(code, *condition, matched, next);
        }
        next = matched;
    }
    next
}

/// Code that goes to `yes` or `no` by one 64-bit comparison, done on two 32-bit words.
fn emit_condition(code: &mut Reverse, condition: Condition, yes: Label, no: Label) -> Label {
    let (low_at, high_at) = words(condition.index);
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let compare = |code: &mut Reverse, operation: u16, yes: Label, no: Label| {
        // high greater: `greater`; high equal: compare low; high less: `less`.
        let (greater, less) = match operation {
            JEQ => (no, no),
            _ => (yes, no),
        };
        code.branch(operation, low, yes, no);
        let low_word = code.push(LD_ABS, low_at);
        let equal = code.branch(JEQ, high, low_word, less);
        let start = if greater == less { equal } else { code.branch(JGT, high, greater, equal) };
        code.goto(start);
        code.push(LD_ABS, high_at)
    };
    match condition.operator {
        SeccompOp::Eq => compare(code, JEQ, yes, no),
        SeccompOp::Ne => compare(code, JEQ, no, yes),
        SeccompOp::Gt => compare(code, JGT, yes, no),
        SeccompOp::Ge => compare(code, JGE, yes, no),
        SeccompOp::Le => compare(code, JGT, no, yes),
        SeccompOp::Lt => compare(code, JGE, no, yes),
        SeccompOp::MaskedEq => {
            code.branch(JEQ, condition.second as u32, yes, no);
            code.push(AND, low);
            let low_word = code.push(LD_ABS, low_at);
            code.branch(JEQ, (condition.second >> 32) as u32, low_word, no);
            code.push(AND, high);
            code.push(LD_ABS, high_at)
        }
    }
}

/// Offsets of an argument's low and high word.
fn words(index: u32) -> (u32, u32) {
    let at = ARGUMENTS + 8 * index;
    if cfg!(target_endian = "little") { (at, at + 4) } else { (at + 4, at) }
}

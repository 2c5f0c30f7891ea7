//! The device filter of cgroup v2: a small eBPF program (`BPF_PROG_TYPE_CGROUP_DEVICE`), written out by hand.
//!
//! The kernel hands it `struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }` (linux/bpf.h), access in
//! the upper and kind in the lower half of the first word; it answers 1 to allow, 0 to deny.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::cgroup::devices::{Access, Device};

/// `struct bpf_insn`: operation, registers (destination low, source high), offset, immediate.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Operations (linux/bpf.h, linux/bpf_common.h).
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND32_K: u8 = 0x54;
const SHIFT_RIGHT32_K: u8 = 0x74;
const MOVE32_K: u8 = 0xb4;
const MOVE32_X: u8 = 0xbc;
const JUMP_NOT_EQUAL_K: u8 = 0x55;
const JUMP_NOT_EQUAL_X: u8 = 0x5d;
const JUMP_EQUAL_K: u8 = 0x15;
const EXIT: u8 = 0x95;

// Registers: 1 is the context at entry and scratch afterwards.
const ANSWER: u8 = 0;
const SCRATCH: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const BLOCK: i32 = 1; // BPF_DEVCG_DEV_BLOCK
const CHAR: i32 = 2; // BPF_DEVCG_DEV_CHAR

fn with_value(code: u8, destination: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination, offset, immediate }
}

fn with_register(code: u8, destination: u8, source: u8, offset: i16) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate: 0 }
}

fn program(access: &Access) -> Vec<Instruction> {
    let mut code = vec![
        with_register(LOAD_WORD, KIND, SCRATCH, 0),
        with_value(AND32_K, KIND, 0, 0xffff),
        with_register(LOAD_WORD, ACCESS, SCRATCH, 0),
        with_value(SHIFT_RIGHT32_K, ACCESS, 0, 16),
        with_register(LOAD_WORD, MAJOR, SCRATCH, 4),
        with_register(LOAD_WORD, MINOR, SCRATCH, 8),
    ];
    for (device, bits) in &access.exceptions {
        exception(&mut code, device, *bits, access.default_allow);
    }
    answer(&mut code, access.default_allow);
    code
}

fn answer(code: &mut Vec<Instruction>, allow: bool) {
    code.push(with_value(MOVE32_K, ANSWER, 0, i32::from(allow)));
    code.push(with_value(EXIT, 0, 0, 0));
}

/// Answers against the default when the device is this one; falls through otherwise.
fn exception(code: &mut Vec<Instruction>, device: &Device, bits: u8, default_allow: bool) {
    let start = code.len();
    code.push(with_value(JUMP_NOT_EQUAL_K, KIND, 0, if device.kind == b'b' { BLOCK } else { CHAR }));
    for (register, number) in [(MAJOR, device.major), (MINOR, device.minor)] {
        if let Some(number) = number {
            // Device numbers have 12 and 20 bits: no sign to extend.
            code.push(with_value(JUMP_NOT_EQUAL_K, register, 0, number as i32));
        }
    }
    code.push(with_register(MOVE32_X, SCRATCH, ACCESS, 0));
    code.push(with_value(AND32_K, SCRATCH, 0, i32::from(bits)));
    code.push(if default_allow {
        // Denied when any letter that is asked for is among these.
        with_value(JUMP_EQUAL_K, SCRATCH, 0, 0)
    } else {
        // Allowed when all are.
        with_register(JUMP_NOT_EQUAL_X, SCRATCH, ACCESS, 0)
    });
    answer(code, !default_allow);
    let end = code.len();
    for (at, instruction) in code.iter_mut().enumerate().skip(start) {
        if matches!(instruction.code, JUMP_NOT_EQUAL_K | JUMP_NOT_EQUAL_X | JUMP_EQUAL_K) {
            instruction.offset = (end - at - 1) as i16;
        }
    }
}

// Commands and constants of bpf(2).
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;

/// The parts of `union bpf_attr` used here, padded to one size; the kernel wants unused bytes to be zero.
#[repr(C)]
union Attributes {
    load: Load,
    attach: Attach,
    query: Query,
    id: u32,
    whole: [u64; 16],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
}

#[allow(unsafe_code)]
fn bpf(command: libc::c_int, attributes: &mut Attributes) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes at most the given size, all of it initialised; the pointers inside are set
    // by the callers below and live across the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<Attributes>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

#[allow(unsafe_code)]
fn own(fd: i32) -> OwnedFd {
    // SAFETY: only called with a descriptor that bpf(2) has just made for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn load(access: &Access) -> io::Result<OwnedFd> {
    let code = program(access);
    let mut attributes = Attributes { whole: [0; 16] };
    attributes.load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: c"Apache".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
    };
    bpf(PROG_LOAD, &mut attributes).map(own)
}

/// The number of instructions of the program for `access`.
#[cfg(fuzzing)]
pub(crate) fn instructions(access: &Access) -> usize {
    program(access).len()
}

/// Identifiers of the device programs on `cgroup` itself.
#[allow(unsafe_code)]
fn attached(cgroup: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut ids = vec![0u32; 64]; // the kernel's own limit
    let mut attributes = Attributes { whole: [0; 16] };
    attributes.query = Query {
        target: cgroup.as_fd().as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
    };
    bpf(PROG_QUERY, &mut attributes)?;
    // SAFETY: every bit pattern is a number, and the variant was written above.
    ids.truncate(unsafe { attributes.query.count } as usize);
    Ok(ids)
}

/// Puts the filter for `access` on the cgroup directory `cgroup`; programs that were there go once it is in force.
pub(crate) fn attach(cgroup: &impl AsFd, access: &Access) -> io::Result<()> {
    let old = attached(cgroup)?;
    let program = load(access)?;
    let target = cgroup.as_fd().as_raw_fd() as u32;
    let mut attributes = Attributes { whole: [0; 16] };
    attributes.attach = Attach {
        target,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        replaced: 0,
    };
    bpf(PROG_ATTACH, &mut attributes)?;
    for id in old {
        let mut by_id = Attributes { whole: [0; 16] };
        by_id.id = id;
        let former = bpf(PROG_GET_FD_BY_ID, &mut by_id).map(own)?;
        let mut detach = Attributes { whole: [0; 16] };
        detach.attach = Attach {
            target,
            program: former.as_raw_fd() as u32,
            kind: ATTACH_CGROUP_DEVICE,
            flags: 0,
            replaced: 0,
        };
        bpf(PROG_DETACH, &mut detach)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

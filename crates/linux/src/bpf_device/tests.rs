//! The program is run by a small interpreter; on kernels that allow it, it is also loaded for the verifier's opinion.

use std::collections::BTreeMap;

use super::*;
use crate::cgroup::devices::{MKNOD, READ, WRITE};

fn run(code: &[Instruction], kind: i32, access: u8, major: u32, minor: u32) -> bool {
    let context = [(u32::from(access) << 16) | kind as u32, major, minor];
    let mut registers = [0u64; 11];
    let mut at = 0usize;
    loop {
        let Instruction { code: operation, registers: pair, offset, immediate } = code[at];
        let (destination, source) = (usize::from(pair & 15), usize::from(pair >> 4));
        at += 1;
        let taken = match operation {
            LOAD_WORD => {
                registers[destination] = u64::from(context[offset as usize / 4]);
                false
            }
            AND32_K => {
                registers[destination] &= u64::from(immediate as u32);
                false
            }
            SHIFT_RIGHT32_K => {
                registers[destination] = u64::from(registers[destination] as u32 >> immediate);
                false
            }
            MOVE32_K => {
                registers[destination] = u64::from(immediate as u32);
                false
            }
            MOVE32_X => {
                registers[destination] = u64::from(registers[source] as u32);
                false
            }
            JUMP_NOT_EQUAL_K => registers[destination] != immediate as u64,
            JUMP_EQUAL_K => registers[destination] == immediate as u64,
            JUMP_NOT_EQUAL_X => registers[destination] != registers[source],
            EXIT => return registers[0] == 1,
            other => panic!("operation {other:#x}"),
        };
        if taken {
            at += offset as usize;
        }
    }
}

fn access(default_allow: bool) -> Access {
    let device = |kind, major, minor| Device { kind, major, minor };
    let exceptions = BTreeMap::from([
        (device(b'c', Some(1), Some(3)), READ | WRITE),
        (device(b'b', Some(8), None), READ),
        (device(b'c', None, None), MKNOD),
    ]);
    Access { default_allow, exceptions }
}

#[test]
fn the_program_allows_what_the_list_allows() {
    let code = program(&access(false));
    assert!(run(&code, CHAR, READ, 1, 3));
    assert!(run(&code, CHAR, READ | WRITE, 1, 3));
    assert!(!run(&code, CHAR, READ | MKNOD, 1, 3), "no one rule has both letters");
    assert!(run(&code, CHAR, MKNOD, 200, 7));
    assert!(!run(&code, BLOCK, READ, 1, 3), "a block device of the same numbers is another device");
    assert!(run(&code, BLOCK, READ, 8, 1));
    assert!(!run(&code, BLOCK, WRITE, 8, 1));
}

#[test]
fn the_program_denies_what_an_allowing_list_excepts() {
    let code = program(&access(true));
    assert!(!run(&code, CHAR, READ, 1, 3));
    assert!(!run(&code, CHAR, WRITE | MKNOD, 1, 3));
    assert!(run(&code, CHAR, READ, 1, 5));
    assert!(!run(&code, BLOCK, READ | WRITE, 8, 1), "one denied letter denies");
    assert!(run(&code, BLOCK, WRITE, 8, 1));
}

#[test]
fn privileged_the_verifier_accepts_the_program() {
    for default_allow in [false, true] {
        match load(&access(default_allow)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            Err(error) => panic!("{error}"),
        }
    }
}

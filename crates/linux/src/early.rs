//! What comes before everything else in a program whose entry point is [`wharf_start`]: the sealing of
//! [`crate::sealed`] for commands of the runtime that enter containers.
//!
//! A position-independent program first writes the addresses of its tables, tens of thousands of them. A process that
//! executes itself anew would do that twice, the first time for nothing. So here nothing is relocated yet and the C library
//! is not initialised: no call may leave this module, and no table, panic or thread-local variable may be used. Even a
//! method of a pointer is a call through a table in a debug build, and a loop that copies is one of `memcpy` in a release.
//! Hence addresses are plain numbers, and memory is read and written by [`byte`], [`word`] and their counterparts alone.
//!
//! Whatever does not work here is left to [`crate::sealed::ensure`], which looks again and tells errors.
#![allow(unsafe_code)]

use std::arch::{asm, naked_asm};

use libc::c_long;

use crate::mount::attr;

// Strings with a zero byte at their end.
const SELF: *const u8 = c"/proc/self/exe".as_ptr().cast();
/// The beginning of the variable of [`crate::sealed`].
const VARIABLE: *const u8 = c"WHARF_EXECUTABLE=".as_ptr().cast();
const RUNTIME: *const u8 = c"runtime".as_ptr().cast();
const NAME: *const u8 = c"wharf-runtime".as_ptr().cast();
const OTHER_NAME: *const u8 = c"runc".as_ptr().cast();
const CREATE: *const u8 = c"create".as_ptr().cast();
const RUN: *const u8 = c"run".as_ptr().cast();
const EXEC: *const u8 = c"exec".as_ptr().cast();

const PAGE: usize = 4096;
/// `ST_RDONLY` (linux/statfs.h).
const READ_ONLY: usize = 1;

/// Where the kernel starts a program that is linked with `--entry=wharf_start`: looks whether to seal it, then goes on to
/// the C library's `_start`, with the registers and the stack as they were.
///
/// # Safety
///
/// Only the kernel may call this.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn wharf_start() -> ! {
    // rdx is for `_start`; rsp is aligned as a call wants it.
    naked_asm!(
        "mov r12, rdx",
        "mov rdi, rsp",
        "call {seal}",
        "mov rdx, r12",
        "xor ebp, ebp",
        "jmp _start",
        seal = sym seal,
    )
}

/// As on x86_64.
///
/// # Safety
///
/// Only the kernel may call this.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn wharf_start() -> ! {
    naked_asm!(
        "mov x19, x0",
        "mov x0, sp",
        "bl {seal}",
        "mov x0, x19",
        "mov x29, xzr",
        "mov x30, xzr",
        "b _start",
        seal = sym seal,
    )
}

/// Executes the program anew through a detached read-only mount if its arguments, environment and executable ask for it.
///
/// # Safety
///
/// At `stack` lies what the kernel gives a program: the number of arguments, the arguments, null, the environment, null.
unsafe extern "C" fn seal(stack: usize) {
    // SAFETY: what is read lies on the stack that the kernel made, up to each list's null; the mapping is unmapped by who made it.
    unsafe {
        let arguments = stack + 8;
        let environment = arguments + (word(stack) + 1) * 8;
        if !enters_container(arguments) {
            return;
        }
        let mut end = environment;
        while word(end) != 0 {
            if starts_with(word(end), VARIABLE as usize) {
                // Sealed, or told so by somebody else, which the ordinary way finds out.
                return;
            }
            end += 8;
        }
        // What the kernel fills in, the new entry of the environment, the new list of entries.
        let size = 2 * PAGE + (end - environment) + 16;
        let scratch = call(libc::SYS_mmap, 0, size, 3, 0x22, usize::MAX, 0);
        if failed(scratch) {
            return;
        }
        execute_sealed(arguments, environment, scratch);
        call(libc::SYS_munmap, scratch, size, 0, 0, 0, 0);
    }
}

/// Returns if it fails or is not needed.
///
/// # Safety
///
/// As [`seal`]; at `scratch` is zeroed memory for two pages and the list of the environment with one entry more.
unsafe fn execute_sealed(arguments: usize, environment: usize, scratch: usize) {
    const AT_FDCWD: usize = libc::AT_FDCWD as isize as usize;
    const CLONE_CLOEXEC: usize = 1 | libc::O_CLOEXEC as usize;
    const EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;
    let (itself, text, list) = (SELF as usize, scratch + PAGE, scratch + 2 * PAGE);
    // SAFETY: all writes are to `scratch`, where the kernel writes no more than it is told to.
    unsafe {
        // The kernel's `struct statfs`; its flags are the eleventh word on 64-bit machines.
        let got = call(libc::SYS_statfs, itself, scratch, 0, 0, 0, 0);
        if failed(got) || word(scratch + 80) & READ_ONLY != 0 {
            return;
        }
        let mut path = text;
        while byte(VARIABLE as usize + path - text) != 0 {
            set_byte(path, byte(VARIABLE as usize + path - text));
            path += 1;
        }
        // Zeros stay behind it; a path that fills the room may not be whole.
        let room = text + PAGE - path - 1;
        let length = call(libc::SYS_readlinkat, AT_FDCWD, itself, path, room, 0, 0);
        if failed(length) || length == room {
            return;
        }
        let mut offset = 0;
        while word(environment + offset) != 0 {
            set_word(list + offset, word(environment + offset));
            offset += 8;
        }
        set_word(list + offset, text);

        let tree = call(libc::SYS_open_tree, AT_FDCWD, itself, CLONE_CLOEXEC, 0, 0, 0);
        if failed(tree) {
            return;
        }
        // `struct mount_attr`: set, clear, propagation, user namespace.
        set_word(scratch, (attr::RDONLY | attr::NODEV) as usize);
        set_word(scratch + 8, 0);
        set_word(scratch + 16, 0);
        set_word(scratch + 24, 0);
        let empty = text + PAGE - 1;
        let set = call(libc::SYS_mount_setattr, tree, empty, EMPTY_PATH, scratch, 32, 0);
        if !failed(set) {
            call(libc::SYS_execveat, tree, empty, arguments, list, EMPTY_PATH, 0);
        }
        call(libc::SYS_close, tree, 0, 0, 0, 0, 0);
    }
}

/// Whether these are words for the runtime, and one of them is a command that [`crate::sealed`] is for. A word that only looks
/// like such a command costs time and nothing else.
///
/// # Safety
///
/// At `arguments` is a list of strings that ends with null.
unsafe fn enters_container(arguments: usize) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if word(arguments) == 0 || word(arguments + 8) == 0 {
            return false;
        }
        let name = file_name(word(arguments));
        let is_runtime = is(word(arguments + 8), RUNTIME) || is(name, NAME) || is(name, OTHER_NAME);
        let mut at = arguments + 8;
        while is_runtime && word(at) != 0 {
            if is(word(at), CREATE) || is(word(at), RUN) || is(word(at), EXEC) {
                return true;
            }
            at += 8;
        }
        false
    }
}

/// What comes after the last slash.
///
/// # Safety
///
/// At `path` is a string.
unsafe fn file_name(path: usize) -> usize {
    let (mut name, mut at) = (path, path);
    // SAFETY: as the caller promises.
    while unsafe { byte(at) } != 0 {
        at += 1;
        // SAFETY: what was before is no end.
        if unsafe { byte(at - 1) } == b'/' {
            name = at;
        }
    }
    name
}

/// # Safety
///
/// Both are strings.
unsafe fn is(one: usize, other: *const u8) -> bool {
    let mut at = 0;
    // SAFETY: the end of either ends the loop.
    unsafe {
        while byte(one + at) != 0 && byte(one + at) == byte(other as usize + at) {
            at += 1;
        }
        byte(one + at) == byte(other as usize + at)
    }
}

/// # Safety
///
/// Both are strings.
unsafe fn starts_with(one: usize, other: usize) -> bool {
    let mut at = 0;
    // SAFETY: the end of either ends the loop.
    unsafe {
        while byte(other + at) != 0 && byte(one + at) == byte(other + at) {
            at += 1;
        }
        byte(other + at) == 0
    }
}

/// The kernel returns the negative of an error number, which is less than a page.
fn failed(result: usize) -> bool {
    result > usize::MAX - PAGE
}

/// A system call, without the C library.
///
/// # Safety
///
/// As for the system call.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> usize {
    let result;
    // SAFETY: the registers are those of the kernel's convention; rcx and r11 are lost.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A system call, without the C library.
///
/// # Safety
///
/// As for the system call.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> usize {
    let result;
    // SAFETY: the registers are those of the kernel's convention.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number as usize,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

/// # Safety
///
/// It can be read.
#[cfg(target_arch = "x86_64")]
unsafe fn byte(address: usize) -> u8 {
    let value: u8;
    // SAFETY: as the caller promises.
    unsafe {
        asm!("mov {}, byte ptr [{}]", out(reg_byte) value, in(reg) address, options(nostack, readonly))
    };
    value
}

/// # Safety
///
/// It can be read.
#[cfg(target_arch = "x86_64")]
unsafe fn word(address: usize) -> usize {
    let value: usize;
    // SAFETY: as the caller promises.
    unsafe { asm!("mov {}, qword ptr [{}]", out(reg) value, in(reg) address, options(nostack, readonly)) };
    value
}

/// # Safety
///
/// It can be written.
#[cfg(target_arch = "x86_64")]
unsafe fn set_byte(address: usize, value: u8) {
    // SAFETY: as the caller promises.
    unsafe { asm!("mov byte ptr [{}], {}", in(reg) address, in(reg_byte) value, options(nostack)) };
}

/// # Safety
///
/// It can be written.
#[cfg(target_arch = "x86_64")]
unsafe fn set_word(address: usize, value: usize) {
    // SAFETY: as the caller promises.
    unsafe { asm!("mov qword ptr [{}], {}", in(reg) address, in(reg) value, options(nostack)) };
}

/// # Safety
///
/// It can be read.
#[cfg(target_arch = "aarch64")]
unsafe fn byte(address: usize) -> u8 {
    let value: u8;
    // SAFETY: as the caller promises.
    unsafe { asm!("ldrb {:w}, [{}]", out(reg) value, in(reg) address, options(nostack, readonly)) };
    value
}

/// # Safety
///
/// It can be read.
#[cfg(target_arch = "aarch64")]
unsafe fn word(address: usize) -> usize {
    let value: usize;
    // SAFETY: as the caller promises.
    unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack, readonly)) };
    value
}

/// # Safety
///
/// It can be written.
#[cfg(target_arch = "aarch64")]
unsafe fn set_byte(address: usize, value: u8) {
    // SAFETY: as the caller promises.
    unsafe { asm!("strb {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}

/// # Safety
///
/// It can be written.
#[cfg(target_arch = "aarch64")]
unsafe fn set_word(address: usize, value: usize) {
    // SAFETY: as the caller promises.
    unsafe { asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    #[test]
    fn only_commands_that_enter_containers_are_sealed() {
        for (line, want) in [
            ("wharf runtime run c", true),
            ("/usr/bin/wharf runtime --root /r --log l create -b . c", true),
            ("wharf-runtime exec c true", true),
            ("/usr/sbin/runc --systemd-cgroup run c", true),
            // The container is called `run`.
            ("wharf runtime kill run", true),
            ("wharf runtime list", false),
            ("wharf-runtime", false),
            ("wharf run busybox", false),
            ("wharf-runtime-more run c", false),
            ("wharf exec runtime sh", false),
            ("wharf runtim run", false),
            ("wharf runtimes run", false),
            ("wharf runtime runs executes creat", false),
            ("", false),
        ] {
            let words: Vec<CString> =
                line.split_whitespace().map(|word| CString::new(word).unwrap()).collect();
            let list: Vec<usize> = words.iter().map(|word| word.as_ptr() as usize).chain([0]).collect();
            // SAFETY: a list of strings that ends with null.
            assert_eq!(unsafe { enters_container(list.as_ptr() as usize) }, want, "{line}");
        }
    }
}

//! The command line.

/// The command line: `wharf runtime ...`, without the first word; returns the exit code.
pub fn main(args: Vec<std::ffi::OsString>) -> i32 {
    let _ = args;
    1
}

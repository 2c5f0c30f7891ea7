//! The runtime as a program of its own, for engines that are not ours: a tenth of the size of `wharf`, which has it too, and so
//! faster to execute (docs/performance.md).

fn main() -> std::process::ExitCode {
    let code = runtime::main(std::env::args_os().skip(1).collect());
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
}

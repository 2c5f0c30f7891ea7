//! The runtime's command line as a program of its own, for tests and measurements.

fn main() -> std::process::ExitCode {
    let code = runtime::main(std::env::args_os().skip(1).collect());
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
}

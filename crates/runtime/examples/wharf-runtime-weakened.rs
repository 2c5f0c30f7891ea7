//! The runtime without the defences that `WHARF_WEAKENED` names, so that the tests of escapes can show what they find.

fn main() -> std::process::ExitCode {
    let code = runtime::main(std::env::args_os().skip(1).collect());
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
}

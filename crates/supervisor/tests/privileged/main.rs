//! Real containers under real supervisors. Needs root; without, it says so and passes.
//!
//! One program plays all parts: `argv[0]` or the first argument says which.

#![allow(clippy::unwrap_used, reason = "a test, though without the attribute")]

mod attach;
mod exec;
mod life;
mod logs;
mod measure;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

type Test = (&'static str, fn());

fn main() {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if args[0] == supervisor::ZYGOTE_NAME {
        supervisor::zygote_main();
    }
    match args.get(1).and_then(|arg| arg.to_str()) {
        Some("init") => supervisor::init_main(&args[2..]),
        Some("daemon") => life::daemon(&args[2]),
        Some("measure") => return measure::main(),
        _ => {}
    }
    let filters: Vec<String> = args[1..]
        .iter()
        .filter_map(|arg| arg.to_str())
        .filter(|arg| !arg.starts_with('-'))
        .map(str::to_owned)
        .collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let mut failed = 0;
    for (name, test) in [attach::TESTS, exec::TESTS, life::TESTS, logs::TESTS].concat() {
        if wanted(name) {
            let started = std::time::Instant::now();
            let ok = catch_unwind(AssertUnwindSafe(test)).is_ok();
            let word = if ok { "ok" } else { "FAILED" };
            println!("test {name} ... {word} ({} ms)", started.elapsed().as_millis());
            failed += i32::from(!ok);
        }
    }
    if failed > 0 {
        println!("{failed} failed");
        std::process::exit(1);
    }
}

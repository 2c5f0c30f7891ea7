//! Options of a mount, separated by commas, after its type and a line break.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (kind, options) = text.split_once('\n').unwrap_or(("bind", text));
    runtime::fuzz::mount_options(kind, options);
});

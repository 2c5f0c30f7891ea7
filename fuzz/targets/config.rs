//! `config.json` of a bundle, up to where the host would be changed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runtime::fuzz::config(bytes));

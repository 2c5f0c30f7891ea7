//! An archive: every entry and its payload.
#![no_main]

use std::io::Read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut reader = tar::Reader::new(bytes);
    let mut payload = [0; 4096];
    while let Ok(Some(_entry)) = reader.next_entry() {
        // Part of it: the rest is for the reader to skip.
        if reader.read(&mut payload).is_err() {
            return;
        }
    }
});

//! What a registry's HTTP is made of, both ways: paths and headers that our server gets, headers and errors that our client gets.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // A size or a status comes first.
    let Some((number, rest)) = bytes.split_first_chunk::<2>() else { return };
    let number = u16::from_le_bytes(*number);
    let text = String::from_utf8_lossy(rest);
    registry::fuzz::path(&text);
    registry::fuzz::request_headers(&text, number.into());
    registry::fuzz::request_headers(&text, u64::MAX - u64::from(number));
    registry::fuzz::answer_headers(&text);
    let (authenticate, body) = text.split_once('\n').unwrap_or(("", &text));
    registry::fuzz::answer(number, authenticate, body.as_bytes());
});

//! What a registry answers to "which image": a manifest or an index, and the choice for a platform.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The media type is the first line.
    let split = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (kind, body) = bytes.split_at(split);
    let fetched = registry::Fetched {
        media_type: String::from_utf8_lossy(kind).into_owned(),
        digest: types::Digest::from_sha256(&[0; 32]),
        bytes: bytes::Bytes::copy_from_slice(body.get(1..).unwrap_or_default()),
    };
    if let Ok(registry::Manifests::Index(index)) = registry::parse(&fetched) {
        let _chosen = registry::choose(&index, &types::Platform::host());
    }
    let _config = serde_json::from_slice::<types::ImageConfig>(bytes);
});

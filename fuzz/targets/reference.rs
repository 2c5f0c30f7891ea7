//! Names of images and digests as users type them: what is accepted is accepted again in the form that is shown.
#![no_main]

use types::{Digest, ImageRef};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<ImageRef>() {
        let shown = reference.to_string();
        assert_eq!(shown.parse::<ImageRef>().ok().as_ref(), Some(&reference), "{shown}");
        let familiar = reference.familiar();
        // As in Docker, an official repository called like an image's id cannot be named in short.
        if !types::id::is_full_id(&reference.familiar_repository()) {
            assert_eq!(familiar.parse::<ImageRef>().ok().as_ref(), Some(&reference), "{familiar}");
        }
        let _named = reference.with_default_tag();
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
        let _parts = (digest.algorithm(), digest.hex(), digest.short());
    }
});

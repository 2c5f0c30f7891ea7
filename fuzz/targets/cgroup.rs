//! What is read of cgroups (mount tables, memberships, device lists), and resources and rules for devices that a user gives.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        linux::cgroup::fuzz::kernels_text(text);
    }
    if let Ok(resources) = serde_json::from_slice::<types::spec::Resources>(bytes) {
        linux::cgroup::fuzz::resources(&resources);
    }
});

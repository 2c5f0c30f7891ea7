//! A seccomp profile: read, compiled, and what the kernel would be given.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = serde_json::from_slice::<types::spec::Seccomp>(bytes) else { return };
    let _flags = linux::seccomp::flags(&profile);
    if let Ok(program) = linux::seccomp::compile(&profile) {
        // As the kernel demands: whole instructions, at most 4096.
        let again = linux::seccomp::Program::from_bytes(program.as_bytes().to_vec());
        assert_eq!(again.as_ref(), Some(&program));
    }
});

//! Programs start where `linux::early` does.

use std::env::var_os;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let arch = var_os("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let is_weakened = var_os("CARGO_FEATURE_WEAKENED").is_some();
    if (arch == "x86_64" || arch == "aarch64") && !is_weakened {
        println!("cargo::rustc-link-arg-bins=-Wl,--entry=wharf_start");
    }
}

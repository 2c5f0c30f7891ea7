//! Doors for the fuzz targets (fuzz/): what reads outside input and is not public. Only in their build.

use types::spec::RuntimeSpec;

use crate::init::options::Options;
use crate::namespaces::Namespaces;

/// A configuration: read, checked, and what is worked out of it before the host is changed.
pub fn config(bytes: &[u8]) {
    let Ok(mut spec) = serde_json::from_slice::<RuntimeSpec>(bytes) else { return };
    let again = serde_json::to_vec(&spec).and_then(|text| serde_json::from_slice::<RuntimeSpec>(&text));
    assert_eq!(again.ok().as_ref(), Some(&spec), "what is written for hooks and state is what was read");
    // Paths of namespaces are opened when they are read.
    for namespace in spec.linux.iter_mut().flat_map(|linux| &mut linux.namespaces) {
        namespace.path.clear();
    }
    let linux = spec.linux.clone().unwrap_or_default();
    if let Ok(namespaces) = Namespaces::of(Some(&linux), None) {
        let _checked = crate::validate::spec(&spec, &linux, &namespaces);
    }
    for mount in &spec.mounts {
        let _options = Options::parse(&mount.kind, &mount.options).map(|options| options.mount_attr());
    }
    if let Some(profile) = &linux.seccomp {
        let _filter = linux::seccomp::compile(profile);
    }
}

/// Options of one mount, separated by commas.
pub fn mount_options(kind: &str, options: &str) {
    let words: Vec<String> = options.split(',').map(str::to_owned).collect();
    let _options = Options::parse(kind, &words).map(|options| options.mount_attr());
}

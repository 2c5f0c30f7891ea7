//! What the parts that work only partly lack, for STATUS.md. Sorted by name.

pub(crate) const MISSING: &[(&str, &str)] = &[
    ("GET /images/{name}/json", "the manifests list"),
    ("GET /plugins", "there are no plugins, and the list says so"),
    ("GET /system/df", "the build cache is always empty"),
    ("POST /auth", "tried with basic and token authentication of our own fixtures, not with Docker Hub"),
    ("POST /build/prune", "there is no build cache, and the answer says so"),
    ("POST /volumes/create", "the local driver only"),
    (
        "docker container create",
        "GPUs, storage quotas, image mounts and other runtimes are refused; no AppArmor or SELinux profile by default; log mode non-blocking blocks, with a warning",
    ),
    (
        "docker container run",
        "GPUs, storage quotas, image mounts and other runtimes are refused; no AppArmor or SELinux profile by default; log mode non-blocking blocks, with a warning",
    ),
    (
        "docker create",
        "GPUs, storage quotas, image mounts and other runtimes are refused; no AppArmor or SELinux profile by default; log mode non-blocking blocks, with a warning",
    ),
    (
        "docker run",
        "GPUs, storage quotas, image mounts and other runtimes are refused; no AppArmor or SELinux profile by default; log mode non-blocking blocks, with a warning",
    ),
    ("dockerd", "`wharf daemon`; keys of daemon.json that are not built are refused"),
];

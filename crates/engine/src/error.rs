//! The words users read when something fails: Docker's, in one place, because they are a compatibility surface.

use types::{ContainerId, Error};

/// 404.
pub(crate) fn no_such_container(name: &str) -> Error {
    Error::not_found(format!("No such container: {name}"))
}

/// 404. `reference` is the normalised familiar form (`nosuch:latest`).
pub(crate) fn no_such_image(reference: &str) -> Error {
    Error::not_found(format!("No such image: {reference}"))
}

/// 404.
pub(crate) fn no_such_exec(id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {id}"))
}

/// 404.
pub(crate) fn no_such_volume(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

/// 404.
pub(crate) fn no_such_network(name: &str) -> Error {
    Error::not_found(format!("network {name} not found"))
}

/// 409.
pub(crate) fn name_conflict(name: &str, holder: &ContainerId) -> Error {
    Error::conflict(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or rename) \
         that container to be able to reuse that name."
    ))
}

/// 409.
pub(crate) fn not_running(id: &ContainerId) -> Error {
    Error::conflict(format!("container {id} is not running"))
}

/// 400.
pub(crate) fn ambiguous_prefix(prefix: &str) -> Error {
    Error::invalid(format!("multiple IDs found with provided prefix: {prefix}"))
}

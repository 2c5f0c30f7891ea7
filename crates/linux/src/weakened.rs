//! Leaving out one defence, to show that the test of an escape would notice: only in a build with the feature `weakened`,
//! which is for those tests alone and cannot be a release.

#[cfg(all(feature = "weakened", not(debug_assertions)))]
compile_error!(
    "the feature `weakened` opens known ways out of a container: it is for tests, never for a release"
);

/// Whether the environment variable `WHARF_WEAKENED`, a list with commas, names this defence as one to leave out.
#[cfg(feature = "weakened")]
pub fn weakened(defence: &str) -> bool {
    std::env::var("WHARF_WEAKENED").is_ok_and(|list| list.split(',').any(|one| one == defence))
}

/// No defence is left out.
#[cfg(not(feature = "weakened"))]
#[inline]
pub const fn weakened(_defence: &str) -> bool {
    false
}

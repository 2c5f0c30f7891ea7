//! IPAM.

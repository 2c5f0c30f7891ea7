//! What stays beside a container and outlives the daemon.

//! What lies on disk: blobs, snapshots, diffs, volumes, names, leases, records.

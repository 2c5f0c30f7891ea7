//! End-to-end tests: one binary, one file per subject. Each test starts a daemon of its own on its own data root,
//! socket, cgroup parent and network namespace, so tests run side by side and never meet; each fails when something
//! of it is left behind.
//!
//! The clients are Docker's own command line and its Python and Node SDKs, unmodified: if they fail, we are wrong.

mod api_corners;
mod archives;
mod bed;
mod cli_connections;
mod cli_copy;
mod cli_manifest;
mod cli_search;
mod container_mounts;
mod containers;
mod contract;
mod copy;
mod faults;
mod faults_http;
mod faults_limits;
mod faults_registry;
mod faults_restart;
mod full_disk;
mod hostile;
mod http;
mod images;
mod inventory;
mod kills;
mod liar;
mod networks;
mod networks_more;
mod networks_parents;
mod parity;
mod push;
mod raw;
mod registry;
mod registry_client;
mod registry_faults;
mod registry_server;
mod reload;
mod runtimes;
mod sdk;
mod streams;
mod sweep;
mod volumes;

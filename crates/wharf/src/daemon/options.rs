//! Every option of the daemon: its flag, its key in `daemon.json`, what values it takes and what they do here.

use Kind::{Bool, Int, List, Map, Text};

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `--flag`, `--flag=false`; `true` in the file.
    Bool,
    /// One word.
    Text,
    /// A whole number.
    Int,
    /// May be given several times; a list in the file.
    List,
    /// `name=value`, several times; an object in the file.
    Map,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opt {
    /// Long flag without dashes; empty for keys that only the file has.
    pub(crate) flag: &'static str,
    /// One-letter flag, or a space.
    pub(crate) short: char,
    /// Key in the file; empty for flags that only the command line has.
    pub(crate) key: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// `None`: it does what it says. `Some`: it is not built, so that only these values (as text) are accepted.
    pub(crate) only: Option<&'static [&'static str]>,
    /// For `--help`.
    pub(crate) help: &'static str,
}

const fn used(flag: &'static str, short: char, key: &'static str, kind: Kind, help: &'static str) -> Opt {
    Opt { flag, short, key, kind, only: None, help }
}

const fn fixed(flag: &'static str, key: &'static str, kind: Kind, only: &'static [&'static str]) -> Opt {
    Opt { flag, short: ' ', key, kind, only: Some(only), help: "" }
}

/// Storage drivers by all their names.
const DRIVERS: &[&str] = &["", "erofs", "overlay2", "overlay", "overlayfs", "vfs", "copy"];
const OFF: &[&str] = &["false"];
const NOTHING: &[&str] = &["", "[]", "{}"];

/// All of dockerd 28's, in the order of its help, and `publish-policy`.
#[rustfmt::skip]
pub(crate) const OPTIONS: &[Opt] = &[
    used("add-runtime", ' ', "runtimes", Map, "Register an additional OCI compatible runtime (name=path)"),
    used("allow-direct-routing", ' ', "allow-direct-routing", Bool, "Allow remote access to published ports on container IP addresses"),
    used("bip", ' ', "bip", Text, "IPv4 address for the default bridge"),
    used("bip6", ' ', "bip6", Text, "IPv6 address for the default bridge"),
    used("bridge", 'b', "bridge", Text, "Attach containers to a network bridge; 'none' for no default network"),
    used("cgroup-parent", ' ', "cgroup-parent", Text, "Set parent cgroup for all containers"),
    used("config-file", ' ', "", Text, "Daemon configuration file (default \"/etc/wharf/daemon.json\")"),
    used("data-root", ' ', "data-root", Text, "Root directory of persistent state (default \"/var/lib/wharf\")"),
    used("debug", 'D', "debug", Bool, "Enable debug mode"),
    used("default-address-pool", ' ', "default-address-pools", List, "Default address pools for node specific local networks"),
    used("default-cgroupns-mode", ' ', "default-cgroupns-mode", Text, "Default mode for containers cgroup namespace (\"host\" | \"private\")"),
    used("default-gateway", ' ', "default-gateway", Text, "Default gateway IPv4 address for the default bridge network"),
    used("default-gateway-v6", ' ', "default-gateway-v6", Text, "Default gateway IPv6 address for the default bridge network"),
    used("default-ipc-mode", ' ', "default-ipc-mode", Text, "Default mode for containers ipc (\"shareable\" | \"private\")"),
    used("default-network-opt", ' ', "default-network-opts", Map, "Default network options"),
    used("default-runtime", ' ', "default-runtime", Text, "Default OCI runtime for containers (default \"runc\": this binary)"),
    used("default-shm-size", ' ', "default-shm-size", Text, "Default shm size for containers (default 64MiB)"),
    used("default-ulimit", ' ', "default-ulimits", Map, "Default ulimits for containers"),
    used("dns", ' ', "dns", List, "DNS server to use"),
    used("dns-opt", ' ', "dns-opts", List, "DNS options to use"),
    used("dns-search", ' ', "dns-search", List, "DNS search domains to use"),
    used("exec-opt", ' ', "exec-opts", List, "Runtime execution options"),
    used("exec-root", ' ', "exec-root", Text, "Root directory for execution state files (default \"/run/wharf\")"),
    used("experimental", ' ', "experimental", Bool, "Enable experimental features"),
    used("fixed-cidr", ' ', "fixed-cidr", Text, "IPv4 subnet for the default bridge network"),
    used("fixed-cidr-v6", ' ', "fixed-cidr-v6", Text, "IPv6 subnet for the default bridge network"),
    used("group", 'G', "group", Text, "Group for the unix socket (default \"docker\", or \"wharf\")"),
    used("help", 'h', "", Bool, "Print usage"),
    used("host", 'H', "hosts", List, "Daemon socket(s) to listen on"),
    used("http-proxy", ' ', "http-proxy", Text, "HTTP proxy URL to use for outgoing traffic"),
    used("https-proxy", ' ', "https-proxy", Text, "HTTPS proxy URL to use for outgoing traffic"),
    used("host-gateway-ip", ' ', "host-gateway-ips", List, "IP addresses that the special 'host-gateway' string in --add-host resolves to"),
    used("icc", ' ', "icc", Bool, "Enable inter-container communication for the default bridge network (default true)"),
    used("init", ' ', "init", Bool, "Run an init in the container to forward signals and reap processes"),
    used("init-path", ' ', "init-path", Text, "Path to the init binary (default is this binary)"),
    used("insecure-registry", ' ', "insecure-registries", List, "Enable insecure registry communication"),
    used("ip", ' ', "ip", Text, "Host IP for port publishing from the default bridge network (default 0.0.0.0)"),
    used("ip-forward", ' ', "ip-forward", Bool, "Enable IP forwarding in system configuration (default true)"),
    used("ip-masq", ' ', "ip-masq", Bool, "Enable IP masquerading for the default bridge network (default true)"),
    used("ip6tables", ' ', "ip6tables", Bool, "Enable addition of firewall rules for IPv6 (default true)"),
    used("iptables", ' ', "iptables", Bool, "Enable addition of firewall rules (default true)"),
    used("ipv6", ' ', "ipv6", Bool, "Enable IPv6 networking for the default bridge network"),
    used("label", ' ', "labels", List, "Set key=value labels to the daemon"),
    used("live-restore", ' ', "live-restore", Bool, "Keep containers alive when the daemon stops (default true)"),
    used("log-driver", ' ', "log-driver", Text, "Default driver for container logs (default \"json-file\")"),
    used("log-format", ' ', "log-format", Text, "Set the logging format (\"text\"|\"json\") (default \"text\")"),
    used("log-level", 'l', "log-level", Text, "Set the logging level (\"debug\"|\"info\"|\"warn\"|\"error\"|\"fatal\") (default \"info\")"),
    used("log-opt", ' ', "log-opts", Map, "Default log driver options for containers"),
    used("max-concurrent-downloads", ' ', "max-concurrent-downloads", Int, "Set the max concurrent downloads (default 3)"),
    used("max-concurrent-uploads", ' ', "max-concurrent-uploads", Int, "Set the max concurrent uploads (default 5)"),
    used("max-download-attempts", ' ', "max-download-attempts", Int, "Set the max download attempts for each pull (default 5)"),
    used("mtu", ' ', "mtu", Int, "Set the MTU for the default bridge network (default that of the default route)"),
    used("no-new-privileges", ' ', "no-new-privileges", Bool, "Set no-new-privileges by default for new containers"),
    used("no-proxy", ' ', "no-proxy", Text, "Comma-separated list of hosts or IP addresses for which the proxy is skipped"),
    used("pidfile", 'p', "pidfile", Text, "Path to use for daemon PID file (default EXEC-ROOT/wharf.pid)"),
    used("publish-policy", ' ', "publish-policy", Text, "Whose rules published ports obey (\"docker\" | \"host-firewall\") (default \"docker\")"),
    used("raw-logs", ' ', "raw-logs", Bool, "Full timestamps without ANSI coloring"),
    used("registry-mirror", ' ', "registry-mirrors", List, "Preferred registry mirror"),
    used("seccomp-profile", ' ', "seccomp-profile", Text, "Path to seccomp profile. Set to \"unconfined\" to disable the default seccomp profile"),
    used("shutdown-timeout", ' ', "shutdown-timeout", Int, "Set the default shutdown timeout in seconds (default 15)"),
    Opt { only: Some(DRIVERS), ..used("storage-driver", 's', "storage-driver", Text, "Storage driver to use (erofs, overlay2 or vfs)") },
    used("tls", ' ', "tls", Bool, "Use TLS; implied by --tlsverify"),
    used("tlscacert", ' ', "tlscacert", Text, "Trust certs signed only by this CA (default \"~/.docker/ca.pem\")"),
    used("tlscert", ' ', "tlscert", Text, "Path to TLS certificate file (default \"~/.docker/cert.pem\")"),
    used("tlskey", ' ', "tlskey", Text, "Path to TLS key file (default \"~/.docker/key.pem\")"),
    used("tlsverify", ' ', "tlsverify", Bool, "Use TLS and verify the remote"),
    used("userland-proxy", ' ', "userland-proxy", Bool, "Use userland proxy for loopback traffic (default true)"),
    used("validate", ' ', "", Bool, "Validate daemon configuration and exit"),
    used("version", 'v', "", Bool, "Print version information and quit"),

    fixed("authorization-plugin", "authorization-plugins", List, NOTHING),
    fixed("bridge-accept-fwmark", "bridge-accept-fwmark", Text, NOTHING),
    fixed("", "builder", Map, NOTHING),
    fixed("cdi-spec-dir", "cdi-spec-dirs", List, NOTHING),
    fixed("containerd", "containerd", Text, NOTHING),
    fixed("containerd-namespace", "containerd-namespace", Text, &["", "docker", "moby"]),
    fixed("containerd-plugins-namespace", "containerd-plugins-namespace", Text, &["", "docker-plugins", "plugins.moby"]),
    fixed("cpu-rt-period", "cpu-rt-period", Int, &["0"]),
    fixed("cpu-rt-runtime", "cpu-rt-runtime", Int, &["0"]),
    fixed("feature", "features", Map, NOTHING),
    fixed("firewall-backend", "firewall-backend", Text, &["", "nftables"]),
    used("", ' ', "host-gateway-ip", Text, ""),
    fixed("ip-forward-no-drop", "ip-forward-no-drop", Bool, OFF),
    fixed("metrics-addr", "metrics-addr", Text, NOTHING),
    fixed("network-control-plane-mtu", "network-control-plane-mtu", Int, &["1500"]),
    fixed("node-generic-resource", "node-generic-resources", List, NOTHING),
    fixed("oom-score-adjust", "oom-score-adjust", Int, &["0"]),
    fixed("rootless", "", Bool, OFF),
    fixed("selinux-enabled", "selinux-enabled", Bool, OFF),
    fixed("storage-opt", "storage-opts", List, NOTHING),
    fixed("swarm-default-advertise-addr", "swarm-default-advertise-addr", Text, NOTHING),
    fixed("userland-proxy-path", "userland-proxy-path", Text, NOTHING),
    fixed("userns-remap", "userns-remap", Text, NOTHING),
];

/// The option of a key in the file.
pub(crate) fn by_key(key: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| !opt.key.is_empty() && opt.key == key)
}

/// The option of a flag: long name, or one letter.
pub(crate) fn by_flag(flag: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| {
        let mut letter = [0; 4];
        (!opt.flag.is_empty() && opt.flag == flag)
            || (opt.short != ' ' && opt.short.encode_utf8(&mut letter) == flag)
    })
}

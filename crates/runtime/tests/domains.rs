//! What a process is born into beside its namespaces: network interfaces of the host, memory policy, limits that leave no room.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::process::{Command, Stdio};

use support::{Bundle, told};
use types::spec::{MemoryPolicy, NamespaceKind, NetDevice, Rlimit};

/// The runtime in a network namespace of the test's own, after these commands.
fn beside(bundle: &Bundle, script: &str, args: &[&str]) -> (i32, String, String) {
    let inner = bundle.command(args);
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &format!("{script}; exec \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(bundle.path()).stdin(Stdio::null());
    told(&command.output().unwrap())
}

/// config-linux.md, "Network Devices": "The runtime MUST preserve existing network interface attributes, including all permanent
/// IP addresses ... with global scope", "MUST set the network device state to "up" after moving it", "If a network device with the
/// specified name already exists in the container namespace, the runtime MUST generate an error, unless the user has provided a
/// template by appending %d to the new name."
#[test]
fn privileged_interfaces_move_with_their_addresses() {
    let make = "ip link add first type veth peer name second; ip addr add 10.77.0.1/24 dev first;
        ip addr add fd77::1/64 dev first; ip link set first up; ip link set second up";
    if !Command::new("unshare").args(["--net", "sh", "-ec", make]).status().is_ok_and(|one| one.success()) {
        eprintln!("skipped: no veth interfaces here");
        return;
    }
    let mut bundle = Bundle::new("ip -o addr show; ip link show inner");
    bundle.linux().net_devices.insert("first".into(), NetDevice { name: "inner".into() });
    let (code, out, err) = beside(&bundle, make, &["run", &bundle.id]);
    assert_eq!(code, 0, "{err}");
    let line = |text: &str| out.lines().any(|line| line.contains("inner") && line.contains(text));
    assert!(line("10.77.0.1/24") && line("fd77::1/64") && line("UP"), "{out}");

    let mut template = Bundle::new("ip -o link show");
    template.linux().net_devices.insert("first".into(), NetDevice { name: "net%d".into() });
    let (code, out, err) = beside(&template, make, &["run", &template.id]);
    assert!(code == 0 && out.contains("net0"), "{out}{err}");

    for (name, inside) in [("first", "lo"), ("nosuch", "")] {
        let mut bundle = Bundle::new("true");
        bundle.linux().net_devices.insert(name.into(), NetDevice { name: inside.into() });
        let (code, _, err) = beside(&bundle, make, &["run", &bundle.id]);
        assert!(code != 0 && err.contains(&format!("network device {name}")), "{err}");
    }
    let mut bundle = Bundle::new("true");
    bundle.linux().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
    bundle.linux().net_devices.insert("first".into(), NetDevice::default());
    assert_ne!(bundle.run().0, 0, "there is nowhere to move it to");
}

/// config-linux.md, "Memory policy", for the container and for an exec.
#[test]
fn privileged_memory_comes_from_the_nodes_of_the_policy() {
    let policy = "head -n 1 /proc/self/numa_maps";
    let mut bundle = Bundle::new(policy);
    bundle.linux().memory_policy = Some(MemoryPolicy {
        mode: "MPOL_BIND".into(),
        nodes: "0".into(),
        flags: vec!["MPOL_F_STATIC_NODES".into()],
    });
    let (code, out, err) = bundle.run();
    if err.contains("numa_maps") || err.contains("not implemented") {
        eprintln!("skipped: a kernel without memory policies");
        return;
    }
    assert!(code == 0 && out.contains("bind=static:0"), "{out}{err}");
    bundle.process().args[2] = "sleep 1000".into();
    bundle.start();
    let (code, out, err) = bundle.runtime(&["exec", &bundle.id, "sh", "-c", policy]);
    assert!(code == 0 && out.contains("bind=static:0"), "{out}{err}");
}

/// Limits are the last that a process gets: those that would not let a container be made do not prevent it.
#[test]
fn privileged_limits_that_leave_no_room_take_effect_at_the_end() {
    let limit = |kind: &str, value| Rlimit { kind: kind.into(), soft: value, hard: value };
    let mut bundle = Bundle::new("echo up; ulimit -n");
    bundle.process().rlimits = vec![limit("RLIMIT_NOFILE", 3), limit("RLIMIT_FSIZE", 0)];
    assert_eq!(bundle.output(), "up\n3\n");
    let output = bundle.command(&["create", &bundle.id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(output.unwrap().success());
    let (code, _, err) = bundle.runtime(&["start", &bundle.id]);
    assert_eq!(code, 0, "{err}");
}

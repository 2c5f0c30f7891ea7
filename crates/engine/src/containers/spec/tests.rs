use super::limits::parse_device_rule;
use super::*;
use crate::Timestamp;
use crate::containers::state::{Exit, State};

fn record(config: &str, host_config: &str) -> Record {
    Record {
        id: "a5".repeat(32).parse().unwrap(),
        name: "web".to_owned(),
        created: Timestamp(0),
        config: serde_json::from_str(config).unwrap(),
        host_config: serde_json::from_str(host_config).unwrap(),
        image_id: Some(format!("sha256:{}", "0".repeat(64)).parse().unwrap()),
        mounts: Vec::new(),
        endpoints: BTreeMap::new(),
        attached: Vec::new(),
        state: State::Created(Exit::default()),
        restart_count: 0,
        was_started: false,
        stopped_by_user: false,
    }
}

fn spec_with<'a>(record: &'a Record, change: impl for<'b> FnOnce(&'b mut Input<'a>)) -> RuntimeSpec {
    let settings: &'static Settings = Box::leak(Box::default());
    let none: &'static BTreeMap<String, (i64, i64)> = Box::leak(Box::default());
    let mut input = Input {
        record,
        linked: &[],
        settings,
        root: "/run/r",
        mounts: &[],
        files: ["", "", ""],
        joins: Joins::default(),
        devices: &[],
        hostname: "box",
        cgroup: "/docker/x",
        block_devices: none,
        highest_cap: 40,
        apparmor: true,
        more_masked: &[],
    };
    change(&mut input);
    build(&input).unwrap()
}

fn spec(config: &str, host_config: &str) -> RuntimeSpec {
    spec_with(&record(config, host_config), |_| ())
}

fn mount<'a>(spec: &'a RuntimeSpec, target: &str) -> Option<&'a types::spec::Mount> {
    spec.mounts.iter().find(|m| m.destination == target)
}

#[test]
fn a_plain_container_is_dockers_default() {
    let spec =
        spec(r#"{"Cmd":["echo","hi"],"Env":["A=1","PATH=/x"],"Hostname":"box"}"#, r#"{"ShmSize":67108864}"#);
    let process = spec.process.as_ref().unwrap();
    assert_eq!(process.args, ["echo", "hi"]);
    assert_eq!(process.env, ["PATH=/x", "HOSTNAME=box", "A=1"]);
    assert_eq!(process.cwd, "/");
    assert_eq!(process.capabilities.as_ref().unwrap().effective.len(), 14);
    let targets: Vec<_> = spec.mounts.iter().map(|m| m.destination.as_str()).collect();
    assert_eq!(targets, ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]);
    assert!(mount(&spec, "/dev/shm").unwrap().options.contains(&"size=67108864".to_owned()));
    let linux = spec.linux.as_ref().unwrap();
    let kinds: Vec<_> = linux.namespaces.iter().map(|n| n.kind).collect();
    use NamespaceKind::{Ipc, Mount, Network, Pid, Uts};
    assert_eq!(kinds, [Mount, Network, Uts, Pid, Ipc]);
    assert_eq!(linux.masked_paths.len(), 12);
    assert_eq!(linux.readonly_paths.len(), 5);
    assert_eq!(linux.resources.as_ref().unwrap().devices.len(), 8);
}

#[test]
fn privileged_lifts_masks_and_rules() {
    let spec = spec(r#"{"Cmd":["x"]}"#, r#"{"Privileged":true}"#);
    let linux = spec.linux.as_ref().unwrap();
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert_eq!(linux.resources.as_ref().unwrap().devices.len(), 1);
    assert!(!mount(&spec, "/sys").unwrap().options.contains(&"ro".to_owned()));
    assert!(!mount(&spec, "/sys/fs/cgroup").unwrap().options.contains(&"ro".to_owned()));
    assert_eq!(spec.process.unwrap().capabilities.unwrap().bounding.len(), 41);
}

#[test]
fn modes_change_namespaces() {
    for (host, joins, want) in [
        (r#"{"NetworkMode":"host"}"#, Joins::default(), "mount,uts,pid,ipc"),
        (r#"{"PidMode":"host","IpcMode":"host","UTSMode":"host"}"#, Joins::default(), "mount,network"),
        (r#"{"CgroupnsMode":"private"}"#, Joins::default(), "mount,network,uts,pid,ipc,cgroup"),
        (
            r#"{"PidMode":"container:x","IpcMode":"container:x"}"#,
            Joins { ipc: Some(5), pid: Some(5) },
            "mount,network,uts,pid/proc/5/ns/pid,ipc/proc/5/ns/ipc",
        ),
    ] {
        let spec = spec_with(&record(r#"{"Cmd":["x"]}"#, host), |input| input.joins = joins);
        let list = spec.linux.unwrap().namespaces;
        let words: Vec<_> =
            list.iter().map(|n| format!("{:?}{}", n.kind, n.path).replace("NamespaceKind::", "")).collect();
        assert_eq!(words.join(",").to_lowercase(), want, "{host}");
    }
}

#[test]
fn user_mounts_replace_standard_ones_and_come_by_depth() {
    let mounts = ["/dev", "/a/b", "/a"].map(|target| ResolvedMount {
        mount: Mount {
            kind: "bind".into(),
            source: "/s".into(),
            destination: target.into(),
            options: vec!["rbind".into()],
        },
        rw: target != "/a",
        propagation: "rprivate".to_owned(),
        read_only_non_recursive: false,
    });
    let record = record(r#"{"Cmd":["x"]}"#, "{}");
    let spec = spec_with(&record, |input| {
        input.mounts = &mounts;
        input.files = ["/r", "/n", "/h"];
    });
    let targets: Vec<_> = spec.mounts.iter().map(|m| m.destination.as_str()).collect();
    assert_eq!(
        targets,
        [
            "/proc",
            "/sys",
            "/sys/fs/cgroup",
            "/dev",
            "/a",
            "/a/b",
            "/etc/resolv.conf",
            "/etc/hostname",
            "/etc/hosts"
        ]
    );
    assert_eq!(mount(&spec, "/a").unwrap().options, ["rbind", "rro", "rprivate"]);
}

#[test]
fn tmpfs_words_override_the_defaults() {
    let spec = spec(r#"{"Cmd":["x"]}"#, r#"{"Tmpfs":{"/scratch":"size=1m,mode=1777,exec"}}"#);
    assert_eq!(
        mount(&spec, "/scratch").unwrap().options,
        ["nosuid", "nodev", "rprivate", "size=1m", "mode=1777", "exec"]
    );
}

#[test]
fn limits_become_resources() {
    for (host, want) in [
        ("{}", "{}"),
        (r#"{"Memory":8000000,"MemorySwap":16000000}"#, r#"{"memory":{"limit":8000000,"swap":16000000}}"#),
        (r#"{"NanoCpus":1500000000}"#, r#"{"cpu":{"quota":150000,"period":100000}}"#),
        (r#"{"PidsLimit":20}"#, r#"{"pids":{"limit":20}}"#),
        (r#"{"PidsLimit":0}"#, r#"{"pids":{"limit":-1}}"#),
        (r#"{"CpuShares":512,"CpusetCpus":"0"}"#, r#"{"cpu":{"shares":512,"cpus":"0"}}"#),
        (
            r#"{"BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":7}]}"#,
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":7}]}}"#,
        ),
    ] {
        let host: HostConfig = serde_json::from_str(host).unwrap();
        let devices = BTreeMap::from([("/dev/sda".to_owned(), (8, 0))]);
        assert_eq!(serde_json::to_string(&resources(&host.resources, &devices)).unwrap(), want);
    }
}

#[test]
fn an_apparmor_profile_is_passed_on_where_the_kernel_has_them() {
    for (option, kernel_has, want) in
        [("apparmor=mine", true, "mine"), ("apparmor=mine", false, ""), ("apparmor=unconfined", true, "")]
    {
        let record = record(r#"{"Cmd":["x"]}"#, &format!(r#"{{"SecurityOpt":["{option}"]}}"#));
        let spec = spec_with(&record, |input| input.apparmor = kernel_has);
        assert_eq!(spec.process.unwrap().apparmor_profile, want, "{option} {kernel_has}");
    }
}

#[test]
fn an_init_comes_first() {
    let spec = spec(r#"{"Cmd":["x","y"]}"#, r#"{"Init":true}"#);
    assert_eq!(spec.process.as_ref().unwrap().args, ["/sbin/docker-init", "--", "x", "y"]);
    assert!(mount(&spec, "/sbin/docker-init").is_some());
}

#[test]
fn device_rules_are_read() {
    for (text, ok) in
        [("c 1:3 rwm", true), ("b *:* r", true), ("x 1:1 r", false), ("c 1 r", false), ("c 1:1 x", false)]
    {
        assert_eq!(parse_device_rule(text).is_some(), ok, "{text}");
    }
}

#[test]
fn variables_are_replaced_in_place_appended_and_removed() {
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (changes, want) in [
        (&["B=2"][..], &["A=1", "B=2", "A=9"][..]),
        (&["A=2"], &["A=2", "B=", "A=9"]),
        (&["A", "C=3", "A=4"], &["A=4", "B=", "A=9", "C=3"]),
        // As by Docker: what a change adds, a later one replaces, but does not remove.
        (&["C=3", "C=4", "C"], &["A=1", "B=", "A=9", "C=4"]),
        (&["C"], &["A=1", "B=", "A=9"]),
    ] {
        let mut env = list(&["A=1", "B=", "A=9"]);
        merge_env(&mut env, &list(changes));
        assert_eq!(env, list(want), "{changes:?}");
    }
    // In a second at most, where looking through all for each took minutes.
    let many: Vec<String> = (0..100_000).map(|n| format!("V{n}=")).collect();
    let mut env = many.clone();
    merge_env(&mut env, &many);
    assert_eq!(env.len(), many.len());
}

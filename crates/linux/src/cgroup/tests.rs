use std::path::Path;

use types::spec::{Cpu, DeviceRule, Memory, Pids};

use super::hierarchy::{parse_membership, parse_mounts};
use super::*;

#[test]
fn mount_tables_tell_the_version() {
    let v1 = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n\
              cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,release_agent=/x,name=systemd 0 0\n";
    let unified = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0\n";
    let pure = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
    let foreign = "cgroup /var/lib/x/sys/fs/cgroup/pids cgroup rw,pids 0 0\n";
    for (text, expect) in [
        (v1.to_owned(), Version::V1),
        (format!("{v1}{unified}"), Version::Hybrid),
        (format!("{foreign}{pure}"), Version::V2),
    ] {
        assert_eq!(parse_mounts(&text).version(), expect);
    }
    let names: Vec<String> = parse_mounts(v1).v1.into_keys().collect();
    assert_eq!(names, ["cpu,cpuacct", "name=systemd"]);
}

#[test]
fn membership_is_read_per_hierarchy() {
    let own = parse_membership("9:name=systemd:/a\n4:cpu,cpuacct:/b:c\n0::/u\n");
    assert_eq!(own.v1["name=systemd"], "/a");
    assert_eq!(own.v1["cpu,cpuacct"], "/b:c");
    assert_eq!(own.v2.as_deref(), Some("/u"));
}

#[test]
fn shares_become_weights_on_the_reference_curve() {
    for (shares, weight) in
        [(0, 0), (2, 1), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000), (300_000, 10_000)]
    {
        assert_eq!(convert::cpu_weight(shares), weight, "{shares}");
    }
    for (weight, expect) in [(0, 0), (10, 1), (500, 4950), (1000, 10_000)] {
        assert_eq!(convert::io_weight(weight), expect, "{weight}");
    }
}

#[test]
fn swap_limits_are_the_difference() {
    for (both, memory, expect) in [
        (200, 100, Some(Some(100))),
        (100, 100, Some(Some(0))),
        (-1, 100, Some(Some(-1))),
        (0, 100, Some(None)),
        (0, -1, Some(Some(-1))),
        (100, 200, None),
        (100, 0, None),
    ] {
        assert_eq!(convert::swap_limit(both, memory).ok(), expect, "{both} {memory}");
    }
}

#[test]
fn paths_do_not_leave_their_hierarchy() {
    assert!(file::join(Path::new("/sys/fs/cgroup"), "/../../etc").is_err());
    assert_eq!(file::join(Path::new("/r"), "/a/./b").unwrap(), Path::new("/r/a/b"));
}

#[test]
fn io_stat_lines_are_split_by_operation() {
    let stats = stats::v2_block_io("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\nbad line\n");
    let values =
        |entries: &[stats::BlockIoEntry]| entries.iter().map(|entry| entry.value).collect::<Vec<_>>();
    assert_eq!((values(&stats.service_bytes), values(&stats.serviced)), (vec![1, 2], vec![3, 4]));
}

/// A cgroup name that no other run has, removed when the test ends.
struct Own(String);

impl Own {
    fn new(name: &str) -> Self {
        Self(format!("/wharf-test-{}-{name}/inner", std::process::id()))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for path in [self.0.as_str(), self.0.trim_end_matches("/inner")] {
            if let Ok(cgroup) = Cgroup::open(path) {
                let _removed = cgroup.remove();
            }
        }
    }
}

fn sleeper() -> std::process::Child {
    std::process::Command::new("sleep").arg("60").spawn().unwrap()
}

#[test]
fn privileged_a_cgroup_limits_freezes_counts_and_goes_away() {
    let own = Own::new("life");
    let resources = Resources {
        memory: Some(Memory { limit: Some(64 << 20), swap: Some(64 << 20), ..Memory::default() }),
        cpu: Some(Cpu { shares: Some(512), quota: Some(50_000), period: Some(100_000), ..Cpu::default() }),
        pids: Some(Pids { limit: Some(20) }),
        devices: vec![
            DeviceRule { access: "rwm".to_owned(), ..DeviceRule::default() },
            DeviceRule {
                allow: true,
                kind: "c".to_owned(),
                major: Some(1),
                minor: Some(3),
                access: "rw".to_owned(),
            },
        ],
        ..Resources::default()
    };
    let cgroup = Cgroup::create(&own.0, &resources).unwrap();
    let mut child = sleeper();
    cgroup.join(child.id() as i32).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [child.id() as i32]);
    let stats = cgroup.stats().unwrap();
    assert_eq!((stats.pids.limit, stats.memory.limit_bytes), (20, 64 << 20));
    cgroup.freeze(true).unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.freeze(false).unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    let lower = Resources {
        memory: Some(Memory { limit: Some(32 << 20), swap: Some(48 << 20), ..Memory::default() }),
        ..Resources::default()
    };
    cgroup.update(&lower).unwrap();
    assert_eq!(cgroup.stats().unwrap().memory.limit_bytes, 32 << 20);
    assert_eq!(cgroup.oom_kills(), 0);
    assert!(
        Cgroup::of_process(child.id() as i32).unwrap().paths().values().any(|path| path.ends_with("inner"))
    );
    cgroup.remove().unwrap();
    assert!(!child.wait().unwrap().success(), "what was left was killed");
    assert!(Cgroup::open(&own.0).unwrap_err().is_not_found());
}

#[test]
fn privileged_a_bad_limit_leaves_nothing_behind() {
    let own = Own::new("bad");
    let resources =
        Resources { cpu: Some(Cpu { cpus: "900-901".to_owned(), ..Cpu::default() }), ..Resources::default() };
    assert!(Cgroup::create(&own.0, &resources).is_err());
    assert!(Cgroup::open(&own.0).unwrap_err().is_not_found());
}

use super::*;

fn check(input: &str, expect: &str) {
    let spec: RuntimeSpec = serde_json::from_str(input).unwrap_or_else(|error| panic!("{input}: {error}"));
    assert_eq!(serde_json::to_string(&spec).unwrap(), expect, "{input}");
}

#[test]
fn members_keep_the_names_of_the_specification() {
    check(r#"{"ociVersion":"1.3.0"}"#, r#"{"ociVersion":"1.3.0"}"#);
    check(
        r#"{"ociVersion":"1.0.2","linux":{"resources":{"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":9}]},"memory":{"kernelTCP":1,"disableOOMKiller":true},"network":{"classID":7}},"uidMappings":[{"containerID":0,"hostID":5,"size":1}],"namespaces":[{"type":"pid"},{"type":"network","path":"/n"}],"intelRdt":{"closID":"x","l3CacheSchema":"L3"},"timeOffsets":{"boottime":{"secs":-3}}}}"#,
        r#"{"ociVersion":"1.0.2","linux":{"uidMappings":[{"containerID":0,"hostID":5,"size":1}],"resources":{"memory":{"kernelTCP":1,"disableOOMKiller":true},"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":9}]},"network":{"classID":7}},"namespaces":[{"type":"pid"},{"type":"network","path":"/n"}],"intelRdt":{"closID":"x","l3CacheSchema":"L3"},"timeOffsets":{"boottime":{"secs":-3,"nanosecs":0}}}}"#,
    );
    check(
        r#"{"ociVersion":"1","process":{"cwd":"/","execCPUAffinity":{"initial":"0","final":"1"},"user":{"uid":1,"gid":2,"additionalGids":[3]}},"hooks":{"createRuntime":[{"path":"/h","timeout":3}]}}"#,
        r#"{"ociVersion":"1","process":{"user":{"uid":1,"gid":2,"additionalGids":[3]},"cwd":"/","execCPUAffinity":{"initial":"0","final":"1"}},"hooks":{"createRuntime":[{"path":"/h","timeout":3}]}}"#,
    );
}

#[test]
fn null_stands_for_absent_as_go_writes_it() {
    check(
        r#"{"ociVersion":"1","process":{"cwd":"/","args":null,"env":null,"user":{"uid":0,"gid":0,"additionalGids":null}},"mounts":null,"hostname":null,"linux":{"maskedPaths":null,"seccomp":null}}"#,
        r#"{"ociVersion":"1","process":{"user":{"uid":0,"gid":0},"cwd":"/"},"linux":{}}"#,
    );
}

#[test]
fn unknown_members_are_ignored() {
    check(r#"{"ociVersion":"1","solaris":{"x":1},"new":[2]}"#, r#"{"ociVersion":"1"}"#);
}

#[test]
fn seccomp_rules_round_trip() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"},{"index":1,"value":255,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
    let seccomp: Seccomp = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&seccomp).unwrap(), text);
    assert!(serde_json::from_str::<Seccomp>(r#"{"defaultAction":"SCMP_ACT_DANCE"}"#).is_err());
}

//! SIGHUP: what changes while the daemon runs.

use crate::bed::Bed;

#[test]
fn privileged_a_hangup_takes_over_what_can_change_and_tells_so() {
    let bed = Bed::new();
    let reload = |json: &str| {
        std::fs::write(bed.path("daemon.json"), json).expect("write the configuration");
        bed.signal("-HUP");
    };
    reload(
        r#"{"labels":["a=b"],"debug":true,"default-shm-size":"1m","shutdown-timeout":3,"registry-mirrors":["http://127.0.0.1:1"]}"#,
    );
    bed.until(
        &["info", "--format", "{{.Labels}} {{.Debug}} {{.RegistryConfig.Mirrors}}"],
        "[a=b] true [http://127.0.0.1:1/]",
    );
    let size = [
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "df -k /dev/shm | tail -1 | awk '{print $2}'",
    ];
    assert_eq!(bed.docker(&size).ok(), "1024");
    let told = ["events", "--since", "0", "--until", "0s", "--filter", "event=reload", "--format"];
    let format =
        "{{.Type}} {{index .Actor.Attributes \"labels\"}} {{index .Actor.Attributes \"shutdown-timeout\"}}";
    bed.until(&[&told[..], &[format]].concat(), r#"daemon ["a=b"] 3"#);
    // What is wrong changes nothing.
    reload(r#"{"labels":["wrong"]}"#);
    let deadline = std::time::Instant::now() + crate::bed::PATIENCE;
    while !bed.log().contains("configuration not reloaded: label: bad attribute format: wrong") {
        assert!(std::time::Instant::now() < deadline, "{}", bed.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(bed.docker(&["info", "--format", "{{.Labels}}"]).ok(), "[a=b]");
    reload("{}");
    bed.until(&["info", "--format", "{{.Labels}} {{.Debug}}"], "[] false");
}

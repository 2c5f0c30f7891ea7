//! Standard streams: nothing is lost, in either direction.

use std::io::Read;
use std::process::Stdio;

use crate::bed::Bed;

#[test]
fn privileged_standard_input_reaches_the_process_and_ends_there() {
    let bed = Bed::new();
    let input: Vec<u8> = (0..1_000_000u32).flat_map(|number| number.to_le_bytes()).collect();
    let said = bed.docker_with_input(&["run", "--rm", "-i", "busybox", "sha256sum"], &input);
    let again = bed.docker_with_input(&["run", "-i", "--name", "later", "busybox", "sha256sum"], &input);
    assert_eq!(said.ok(), again.ok());
    bed.docker(&["run", "-d", "--name", "target", "busybox", "sleep", "1000"]).ok();
    assert_eq!(bed.docker_with_input(&["exec", "-i", "target", "wc", "-c"], &input).ok(), "4000000");
}

#[test]
fn privileged_a_gibibyte_through_standard_output_is_complete() {
    let bed = Bed::new();
    let mut command = bed.docker_command(&[
        "run",
        "--rm",
        "--log-driver",
        "none",
        "busybox",
        "dd",
        "if=/dev/zero",
        "bs=1M",
        "count=1024",
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("run docker");
    let mut output = child.stdout.take().expect("it is piped");
    let (mut buffer, mut total) = (vec![0u8; 1 << 20], 0u64);
    loop {
        match output.read(&mut buffer).expect("read docker's output") {
            0 => break,
            count => total += count as u64,
        }
    }
    assert!(child.wait().expect("wait for docker").success());
    assert_eq!(total, 1 << 30);
}

#[test]
fn privileged_the_two_outputs_stay_apart() {
    let bed = Bed::new();
    let said = bed.docker(&["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
    let said =
        bed.docker(&["run", "--name", "kept", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!(said.code, 3);
    let logs = bed.docker(&["logs", "kept"]);
    assert_eq!((logs.out.as_str(), logs.err.as_str()), ("out\n", "err\n"));
}

#[test]
fn privileged_followed_logs_end_with_the_container_and_miss_nothing() {
    let bed = Bed::new();
    let count = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    bed.docker(&["run", "-d", "--name", "talker", "busybox", "sh", "-c", count]).ok();
    let lines = bed.docker(&["logs", "-f", "talker"]).ok();
    let expect: Vec<String> = (0..20000).map(|number| format!("line {number}")).collect();
    assert!(lines.lines().eq(expect.iter().map(String::as_str)), "{} lines", lines.lines().count());
    assert_eq!(bed.docker(&["logs", "--tail", "1", "talker"]).ok(), "line 19999");
}

#[test]
fn privileged_a_terminal_has_the_size_of_the_clients() {
    let bed = Bed::new();
    let text = bed.in_terminal("stty rows 41 cols 121; docker run --rm -it busybox stty size");
    assert!(text.contains("41 121"), "{text:?}");
}

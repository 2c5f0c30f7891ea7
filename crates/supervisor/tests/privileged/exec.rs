//! More processes in a running container.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use supervisor::{Attach, ClientError, Exec};
use types::spec::ConsoleSize;

use crate::Test;
use crate::world::{World, assert_clean, exit_of, process, read_frames, read_until};

pub(crate) const TESTS: &[Test] = &[
    ("privileged_exec_has_streams_and_a_code", exec_has_streams_and_a_code),
    ("privileged_exec_with_a_terminal", exec_with_a_terminal),
    ("privileged_exec_of_nothing_says_why", exec_of_nothing_says_why),
    ("privileged_exec_does_not_wait_for_grandchildren", exec_does_not_wait_for_grandchildren),
    ("privileged_execs_end_with_their_container", execs_end_with_their_container),
    ("privileged_old_exec_codes_are_forgotten", old_exec_codes_are_forgotten),
];

fn exec(id: &str, command: &[&str]) -> Exec {
    let attach = Attach { stdin: true, stdout: true, stderr: true, ..Attach::default() };
    Exec { id: id.to_owned(), process: process(command), attach: Some(attach), ..Exec::default() }
}

fn exec_has_streams_and_a_code() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    let started = client.exec(&exec("e1", &["sh", "-c", "echo out; cat; echo err >&2; exit 9"])).unwrap();
    assert!(started.spawned.pid > 1);
    assert_eq!(client.exec_status("e1").unwrap().exit_code, None);
    let waiting = client.exec_wait("e1").unwrap();
    let mut stream = started.stream.unwrap();
    stream.write_all(b"in\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_frames(&mut stream), (b"out\nin\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(waiting.join().unwrap().exit_code, 9);
    let state = client.exec_status("e1").unwrap();
    assert_eq!((state.exit_code, state.pid), (Some(9), started.spawned.pid));
    assert_eq!(client.exec_wait("e1").unwrap().join().unwrap().exit_code, 9);

    // Detached: no stream, but a code.
    let detached = Exec { attach: None, ..exec("e2", &["sh", "-c", "echo x; kill -TERM $$"]) };
    assert!(client.exec(&detached).unwrap().stream.is_none());
    assert_eq!(client.exec_wait("e2").unwrap().join().unwrap().exit_code, 143);
    assert!(matches!(client.exec(&detached), Err(ClientError::Refused(_))));
    assert!(matches!(client.exec_status("nosuch"), Err(ClientError::NoSuchExec)));

    client.signal(9, false).unwrap();
    let exit = exit_of(&spawn);
    assert_eq!((exit.exit_code, exit.signal), (137, Some(9)));
    assert_clean(&spawn);
}

fn exec_with_a_terminal() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    let mut request = exec("t", &["sh", "-c", "stty size; read x; stty size; exit 2"]);
    request.process.terminal = true;
    request.process.console_size = Some(ConsoleSize { height: 11, width: 22 });
    let mut stream = client.exec(&request).unwrap().stream.unwrap();
    read_until(&mut stream, "11 22\r\n");
    client.exec_resize("t", 33, 44).unwrap();
    stream.write_all(b"\n").unwrap();
    read_until(&mut stream, "33 44\r\n");
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(client.exec_wait("t").unwrap().join().unwrap().exit_code, 2);
}

fn exec_of_nothing_says_why() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    let failure = |command: &str| match client.exec(&exec("x", &[command])) {
        Err(ClientError::Process(error)) => (error.exit_code, error.message),
        other => panic!("{other:?}"),
    };
    let (code, message) = failure("nosuch");
    assert_eq!(code, 127);
    assert!(message.contains("exec: \"nosuch\": executable file not found in $PATH"), "{message}");
    let (code, message) = failure("/etc/passwd");
    assert_eq!(code, 126);
    assert!(message.contains("permission denied"), "{message}");
    assert!(client.status().unwrap().execs.is_empty());
}

fn exec_does_not_wait_for_grandchildren() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    let started = Instant::now();
    let mut stream = client.exec(&exec("g", &["sh", "-c", "sleep 500 & echo hi"])).unwrap().stream.unwrap();
    assert_eq!(read_frames(&mut stream).0, b"hi\n");
    let took = started.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(300), "{took:?}");
    assert_eq!(client.exec_wait("g").unwrap().join().unwrap().exit_code, 0);
}

fn execs_end_with_their_container() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    let mut stream = client.exec(&exec("e", &["sh", "-c", "echo up; sleep 1000"])).unwrap().stream.unwrap();
    stream.read_exact(&mut [0; 11]).unwrap();
    let waiting = client.exec_wait("e").unwrap();
    client.signal(9, false).unwrap();
    assert_eq!(waiting.join().unwrap().exit_code, 137);
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(exit_of(&spawn).exit_code, 137);
    assert!(matches!(client.status(), Err(ClientError::NotRunning)));
    assert_clean(&spawn);
}

fn old_exec_codes_are_forgotten() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    for number in 0..66 {
        let id = number.to_string();
        client.exec(&Exec { attach: None, ..exec(&id, &["true"]) }).unwrap();
        assert_eq!(client.exec_wait(&id).unwrap().join().unwrap().exit_code, 0);
    }
    assert!(matches!(client.exec_status("1"), Err(ClientError::NoSuchExec)));
    assert_eq!(client.exec_status("2").unwrap().exit_code, Some(0));
}

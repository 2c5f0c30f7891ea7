//! Streams between clients and containers.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use supervisor::log::{LogDriver, LogSpec, Select};
use supervisor::{Attach, Client};
use types::StreamKind::{Stderr, Stdout};

use crate::Test;
use crate::world::{
    World, assert_clean, each_frame, exit_of, log_lines, read_frames, read_until, with_terminal,
};

pub(crate) const TESTS: &[Test] = &[
    ("privileged_output_reaches_client_and_log", output_reaches_client_and_log),
    ("privileged_half_close_ends_stdin", half_close_ends_stdin),
    ("privileged_stdin_stays_open_without_stdin_once", stdin_stays_open_without_stdin_once),
    ("privileged_terminal_has_a_size_and_changes_it", terminal_has_a_size_and_changes_it),
    ("privileged_detach_keys_end_only_the_attachment", detach_keys_end_only_the_attachment),
    ("privileged_nothing_is_lost_through_a_slow_client", nothing_is_lost_through_a_slow_client),
    ("privileged_a_client_that_leaves_does_not_matter", a_client_that_leaves_does_not_matter),
    ("privileged_two_clients_see_the_same", two_clients_see_the_same),
];

fn output_reaches_client_and_log() {
    let world = World::new();
    let spawn = world.container(&["sh", "-c", "echo out; echo err >&2; printf end; exit 3"]);
    let mut stream = world.run(&spawn);
    assert_eq!(read_frames(&mut stream), (b"out\nend".to_vec(), b"err\n".to_vec()));
    let exit = exit_of(&spawn);
    assert_eq!((exit.exit_code, exit.signal, exit.oom_killed), (3, None, false));
    let mut lines = log_lines(&spawn, Select::default());
    lines.sort_by_key(|(stream, _)| *stream as u8);
    let expect = [(Stdout, "out\n".to_owned()), (Stdout, "end".to_owned()), (Stderr, "err\n".to_owned())];
    assert_eq!(lines, expect);
    assert_clean(&spawn);
}

fn half_close_ends_stdin() {
    let world = World::new();
    let mut spawn = world.container(&["cat"]);
    (spawn.open_stdin, spawn.stdin_once) = (true, true);
    let mut stream = world.run(&spawn);
    let text = "hello\n".repeat(100_000);
    let mut writer = stream.try_clone().unwrap();
    let sent = text.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(sent.as_bytes()).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_frames(&mut stream).0 == text.as_bytes());
    sender.join().unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 0);
}

fn stdin_stays_open_without_stdin_once() {
    let world = World::new();
    let mut spawn = world.container(&["cat"]);
    spawn.open_stdin = true;
    let mut stream = world.run(&spawn);
    stream.write_all(b"one\n").unwrap();
    let mut frame = [0; 12];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(&frame[8..], b"one\n");
    stream.shutdown(Shutdown::Write).unwrap();
    // Docker ends the attachment, not the input.
    assert_eq!(stream.read(&mut frame).unwrap(), 0);
    let client = Client::connect(&spawn.dir).unwrap();
    let attach = Attach { stdin: true, stdout: true, ..Attach::default() };
    let mut stream = client.attach(&attach).unwrap();
    stream.write_all(b"two\n").unwrap();
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(&frame[8..], b"two\n");
}

fn terminal_has_a_size_and_changes_it() {
    let world = World::new();
    let command = ["sh", "-c", "stty size; read x; stty size; tty; exit 4"];
    let spawn = with_terminal(world.container(&command), 31, 97);
    let mut stream = world.run(&spawn);
    read_until(&mut stream, "31 97\r\n");
    let client = Client::connect(&spawn.dir).unwrap();
    client.resize(40, 120).unwrap();
    stream.write_all(b"go\n").unwrap();
    let rest = read_until(&mut stream, "/dev/");
    assert!(rest.contains("go\r\n40 120\r\n"), "{rest:?}");
    let mut end = String::new();
    stream.read_to_string(&mut end).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 4);
    let log: String = log_lines(&spawn, Select::default()).into_iter().map(|(_, line)| line).collect();
    assert!(log.starts_with("31 97\r\ngo\r\n40 120\r\n"), "{log:?}");
    assert_clean(&spawn);
}

fn detach_keys_end_only_the_attachment() {
    let world = World::new();
    let spawn = with_terminal(world.container(&["cat"]), 24, 80);
    let mut stream = world.run(&spawn);
    stream.write_all(b"one\n\x10").unwrap();
    read_until(&mut stream, "one\r\none\r\n");
    stream.write_all(b"\x11").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    let client = Client::connect(&spawn.dir).unwrap();
    assert_eq!(client.status().unwrap().attached, 0);
    let mut again = client.attach(&Attach { stdin: true, stdout: true, ..Attach::default() }).unwrap();
    again.write_all(b"two\n").unwrap();
    read_until(&mut again, "two\r\ntwo\r\n");
    again.write_all(b"\x04").unwrap();
    again.read_to_end(&mut rest).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 0);
}

fn nothing_is_lost_through_a_slow_client() {
    const MIB: usize = 64;
    let world = World::new();
    let command = format!("dd if=/dev/zero bs=1M count={MIB} 2>/dev/null; echo done >&2; exit 5");
    let mut spawn = world.container(&["sh", "-c", &command]);
    spawn.log = LogSpec { driver: LogDriver::None, ..LogSpec::default() };
    let mut stream = world.run(&spawn);
    let (mut bytes, mut end) = (0, Vec::new());
    let mut naps = 3;
    each_frame(&mut stream, |kind, part| match kind {
        Stderr => end.extend_from_slice(part),
        _ => {
            bytes += part.len();
            if bytes > MIB / 4 * naps * (1 << 18) && naps > 0 {
                naps -= 1;
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    });
    assert_eq!((bytes, end.as_slice()), (MIB << 20, &b"done\n"[..]));
    assert_eq!(exit_of(&spawn).exit_code, 5);

    // The same with a log, and the order kept.
    let spawn = world.container(&["seq", "1", "300000"]);
    let mut stream = world.run(&spawn);
    std::thread::sleep(Duration::from_millis(200));
    let (out, _) = read_frames(&mut stream);
    let expect: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    assert!(out == expect.as_bytes(), "{} bytes of {}", out.len(), expect.len());
    exit_of(&spawn);
    let log: String = log_lines(&spawn, Select::default()).into_iter().map(|(_, line)| line).collect();
    assert!(log == expect);
}

fn a_client_that_leaves_does_not_matter() {
    let world = World::new();
    let spawn = world.container(&["sh", "-c", "yes | head -n 300000; sleep 0.1; exit 6"]);
    let mut stream = world.run(&spawn);
    stream.read_exact(&mut [0; 100_000]).unwrap();
    drop(stream);
    assert_eq!(exit_of(&spawn).exit_code, 6);
    assert_eq!(log_lines(&spawn, Select::default()).len(), 300_000);
}

fn two_clients_see_the_same() {
    let world = World::new();
    let mut spawn = world.container(&["sh", "-c", "read x; seq 1 50000; echo no >&2"]);
    (spawn.open_stdin, spawn.stdin_once) = (true, true);
    let mut first = world.run(&spawn);
    let client = Client::connect(&spawn.dir).unwrap();
    let mut second = client.attach(&Attach { stdout: true, ..Attach::default() }).unwrap();
    let other = std::thread::spawn(move || read_frames(&mut second));
    first.write_all(b"\n").unwrap();
    let started = Instant::now();
    let (out, err) = read_frames(&mut first);
    let (same, none) = other.join().unwrap();
    assert!(out == same && out.len() > 280_000);
    assert_eq!((err.as_slice(), none.as_slice()), (&b"no\n"[..], &b""[..]));
    assert!(started.elapsed() < Duration::from_secs(300));
}

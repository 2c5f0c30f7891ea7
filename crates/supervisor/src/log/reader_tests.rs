//! The writer writes, the reader reads.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use types::StreamKind::{Stderr, Stdout};

use super::*;
use crate::log::Writer;

fn spec(dir: &Path, driver: LogDriver, options: &[(&str, &str)]) -> LogSpec {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    LogSpec { driver, path: dir.join("log"), options, attrs: BTreeMap::new() }
}

fn drain(reader: &mut Reader) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    loop {
        match reader.next().unwrap() {
            Next::Entry(entry) => lines.push(String::from_utf8(entry.line).unwrap()),
            Next::Pending => return (lines, false),
            Next::End => return (lines, true),
        }
    }
}

fn read(spec: &LogSpec, select: Select) -> Vec<String> {
    let (lines, ended) = drain(&mut Reader::open(spec, select).unwrap());
    assert!(ended);
    lines
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("line {n}\n")).collect()
}

const BOTH: [LogDriver; 2] = [LogDriver::JsonFile, LogDriver::Local];

#[test]
fn what_is_written_is_read_by_stream() {
    for driver in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = spec(dir.path(), driver, &[]);
        spec.attrs.insert("tag".to_owned(), "t".to_owned());
        let mut writer = Writer::open(&spec).unwrap();
        writer.write(Stdout, b"one\ntw");
        writer.write(Stderr, b"err\n");
        writer.write(Stdout, b"o\nend");
        writer.finish(Stdout);
        assert_eq!(read(&spec, Select::default()), ["one\n", "err\n", "two\n", "end"]);
        assert_eq!(read(&spec, Select { stdout: false, ..Select::default() }), ["err\n"]);
        let Next::Entry(first) = Reader::open(&spec, Select::default()).unwrap().next().unwrap() else {
            panic!()
        };
        assert_eq!(first.attrs, [("tag".to_owned(), "t".to_owned())]);
        assert_eq!(writer.close(Duration::ZERO), 0);
    }
}

#[test]
fn a_log_that_does_not_exist_is_empty_and_may_still_come() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), LogDriver::JsonFile, &[]);
    assert!(read(&spec, Select::default()).is_empty());
    let mut reader = Reader::open(&spec, Select { follow: true, ..Select::default() }).unwrap();
    assert_eq!(drain(&mut reader), (vec![], false));
    Writer::open(&spec).unwrap().write(Stdout, b"x\n");
    assert_eq!(drain(&mut reader), (vec!["x\n".to_owned()], false));
}

#[test]
fn a_driver_without_a_file_cannot_be_read() {
    let error = Reader::open(&LogSpec { driver: LogDriver::None, ..LogSpec::default() }, Select::default());
    let error = error.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "configured logging driver does not support reading");
}

#[test]
fn since_and_until_select_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), LogDriver::JsonFile, &[]);
    let line = |second: i64| {
        format!(
            "{{\"log\":\"{second}\\n\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:0{second}Z\"}}\n"
        )
    };
    std::fs::write(&spec.path, (1..6).map(line).collect::<String>() + "damaged\n" + &line(9)).unwrap();
    let second = 1_000_000_000;
    let select = Select { since: Some(2 * second), until: Some(4 * second), ..Select::default() };
    assert_eq!(read(&spec, select), ["2\n", "3\n", "4\n"]);
    assert_eq!(read(&spec, Select { since: Some(5 * second), ..Select::default() }), ["5\n", "9\n"]);
}

#[test]
fn a_follower_sees_growth_and_ends_when_told() {
    for driver in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path(), driver, &[]);
        let mut writer = Writer::open(&spec).unwrap();
        writer.write(Stdout, b"a\nb\n");
        let mut reader =
            Reader::open(&spec, Select { follow: true, tail: Some(1), ..Select::default() }).unwrap();
        assert_eq!(drain(&mut reader), (vec!["b\n".to_owned()], false));
        writer.write(Stdout, b"c\n");
        let mut fds = [rustix::event::PollFd::new(&reader, rustix::event::PollFlags::IN)];
        let second = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut fds, Some(&second)).unwrap(), 1);
        assert_eq!(drain(&mut reader), (vec!["c\n".to_owned()], false));
        writer.write(Stdout, b"d");
        writer.finish(Stdout);
        reader.finish();
        assert_eq!(drain(&mut reader), (vec!["d".to_owned()], true));
    }
}

#[test]
fn a_follower_misses_nothing_across_rotations() {
    for (files, step) in [("3", 7), ("3", 1), ("1", 3), ("9", 40)] {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path(), LogDriver::JsonFile, &[("max-size", "1k"), ("max-file", files)]);
        let mut writer = Writer::open(&spec).unwrap();
        let mut reader = Reader::open(&spec, Select { follow: true, ..Select::default() }).unwrap();
        let mut seen = Vec::new();
        for (number, line) in numbers(0, 200).iter().enumerate() {
            writer.write(Stdout, line.as_bytes());
            if number % step == 0 {
                seen.extend(drain(&mut reader).0);
            }
        }
        reader.finish();
        seen.extend(drain(&mut reader).0);
        assert_eq!(seen, numbers(0, 200), "{files} files, read every {step}");
    }
}

#[test]
fn a_follower_finds_its_place_when_its_file_was_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), LogDriver::Local, &[("max-size", "1k"), ("max-file", "3")]);
    let plain = LogSpec { options: [("compress".to_owned(), "false".to_owned())].into(), ..spec.clone() };
    let mut writer = Writer::open(&plain).unwrap();
    let mut reader = Reader::open(&spec, Select { follow: true, ..Select::default() }).unwrap();
    numbers(0, 10).iter().for_each(|line| writer.write(Stdout, line.as_bytes()));
    assert_eq!(drain(&mut reader).0, numbers(0, 10));
    numbers(10, 12).iter().for_each(|line| writer.write(Stdout, line.as_bytes()));
    // What the supervisor's compressor does, here in this process.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut packer, &std::fs::read(&spec.path).unwrap()).unwrap();
    std::fs::write(rotated(&spec.path, 1, true), packer.finish().unwrap()).unwrap();
    std::fs::remove_file(&spec.path).unwrap();
    let mut writer = Writer::open(&plain).unwrap();
    numbers(12, 14).iter().for_each(|line| writer.write(Stdout, line.as_bytes()));
    assert_eq!(drain(&mut reader).0, numbers(10, 14));
    assert_eq!(read(&spec, Select { tail: Some(5), ..Select::default() }), numbers(9, 14));
    assert_eq!(read(&spec, Select { tail: Some(100), ..Select::default() }), numbers(0, 14));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn tail_gives_the_last_entries(
        lines in prop::collection::vec(0..30_000_usize, 0..30), wanted in 0..40_u64, rotate: bool, local: bool, half: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let driver = if local { LogDriver::Local } else { LogDriver::JsonFile };
        let options: &[(&str, &str)] =
            if rotate { &[("max-size", "40k"), ("max-file", "50"), ("compress", "false")] } else { &[] };
        let spec = spec(dir.path(), driver, options);
        let mut writer = Writer::open(&spec).unwrap();
        for (number, length) in lines.iter().enumerate() {
            let text = format!("{number} {}\n", "x".repeat(*length));
            writer.write(Stdout, text.as_bytes());
        }
        if half {
            use std::io::Write;
            // An entry that is being written.
            std::fs::File::options().append(true).open(&spec.path).unwrap().write_all(b"\0\0\0\x07{\"lo").unwrap();
        }
        let all = read(&spec, Select::default());
        let wanted_from = all.len().saturating_sub(wanted as usize);
        let tail = read(&spec, Select { tail: Some(wanted), ..Select::default() });
        prop_assert_eq!(&tail, &all[wanted_from..]);
        let text: String = all.concat();
        prop_assert_eq!(text.lines().count(), lines.len());
    }
}

use super::*;
use crate::dbus::tests::{message, peer};
use crate::dbus::{
    FAILURE, HEADER_ERROR_NAME, HEADER_INTERFACE, HEADER_MEMBER, HEADER_REPLY_SERIAL, REPLY, SIGNAL,
};

#[test]
fn slices_lie_within_those_that_their_names_begin_with() {
    for (slice, expect) in [
        ("system.slice", Some("/system.slice")),
        ("a-b-c.slice", Some("/a.slice/a-b.slice/a-b-c.slice")),
        ("-.slice", Some("")),
        (".slice", None),
        ("a--b.slice", None),
        ("-a.slice", None),
        ("a", None),
        ("a/b.slice", None),
    ] {
        assert_eq!(expand_slice(slice).ok().as_deref(), expect, "{slice}");
    }
}

#[test]
fn units_are_named_by_slice_prefix_and_name() {
    let parse = |text: &str, user| {
        let unit = Unit::parse(text, "c1", user).map_err(|error| error.to_string())?;
        Ok::<_, String>((unit.name.clone(), unit.slice().to_owned()))
    };
    let is = |name: &str, slice: &str| Ok((name.to_owned(), slice.to_owned()));
    assert_eq!(parse("", false), is("runc-c1.scope", "system.slice"));
    assert_eq!(parse("", true), is("runc-c1.scope", "user.slice"));
    assert_eq!(parse("machine.slice:libpod:abc", false), is("libpod-abc.scope", "machine.slice"));
    assert_eq!(parse(":docker:abc", true), is("docker-abc.scope", "user.slice"));
    assert_eq!(parse("a.slice::a-b.slice", false), is("a-b.slice", "a.slice"));
    assert_eq!(
        parse("/docker/abc", false).unwrap_err(),
        "cgroup: expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"/docker/abc\" instead"
    );
    assert!(parse("a:b:c/d", false).is_err() && parse("x:y:z", false).is_err());
}

#[test]
fn a_unit_is_told_from_a_path() {
    assert_eq!(Unit::of_path("system.slice:docker:ab").unwrap().name, "docker-ab.scope");
    for path in ["/docker/ab", "/a:b:c", "docker", "a:b", "a:b:c", "a.slice:b:c:d"] {
        assert_eq!(Unit::of_path(path), None, "{path}");
    }
}

/// A text as it is marshalled at the start of a body, after what is there.
fn put(body: &mut Vec<u8>, text: &str) {
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend_from_slice(&(text.len() as u32).to_le_bytes());
    body.extend_from_slice(text.as_bytes());
    body.push(0);
}

/// What systemd says of a job: that it is begun, and how it ended.
fn job(serial: &str, result: &str) -> Vec<u8> {
    let (mut path, mut removed) = (Vec::new(), 7u32.to_le_bytes().to_vec());
    put(&mut path, "/org/freedesktop/systemd1/job/7");
    for text in ["/org/freedesktop/systemd1/job/7", "runc-c1.scope", result] {
        put(&mut removed, text);
    }
    let signal = [(HEADER_INTERFACE, MANAGER.interface), (HEADER_MEMBER, "JobRemoved")];
    [message(REPLY, &[(HEADER_REPLY_SERIAL, serial)], &path), message(SIGNAL, &signal, &removed)].concat()
}

fn done(serial: &str) -> Vec<u8> {
    message(REPLY, &[(HEADER_REPLY_SERIAL, serial)], &[])
}

fn refusal(serial: &str, name: &str) -> Vec<u8> {
    let name = format!("org.freedesktop.systemd1.{name}");
    message(FAILURE, &[(HEADER_REPLY_SERIAL, serial), (HEADER_ERROR_NAME, &name)], &[])
}

#[test]
fn a_failed_unit_of_the_same_name_is_forgotten_and_the_job_awaited() {
    let answers = vec![
        done("1"),
        done("2"),
        refusal("3", "UnitExists"),
        done("4"),
        job("5", "done"),
        job("6", "failed"),
        done("7"),
    ];
    let (_dir, address, thread) = peer(answers);
    let mut systemd = Systemd::on_bus(&address).unwrap();
    systemd.start("runc-c1.scope", &Vec::new()).unwrap();
    let error = systemd.start("runc-c1.scope", &Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "error creating systemd unit `runc-c1.scope`: got `failed`");
    drop(systemd);
    thread.join().unwrap();
}

#[test]
fn the_version_is_a_number() {
    for (text, expect) in [("252.38-1~deb12u1", 252), ("v239", 239)] {
        let mut body = b"\x01s\0".to_vec();
        put(&mut body, text);
        let answer = message(REPLY, &[(HEADER_REPLY_SERIAL, "3")], &body);
        let (_dir, address, _thread) = peer(vec![done("1"), done("2"), answer]);
        assert_eq!(Systemd::on_bus(&address).unwrap().version().unwrap(), expect);
    }
}

#[test]
fn a_scope_is_delegated_and_holds_the_process() {
    let unit = Unit::parse("a.slice:p:c1", "c1", false).unwrap();
    let list = unit_properties(&unit, 17, "c1", true);
    let has = |name: &str, value: Value| list.contains(&(name.to_owned(), value));
    assert!(has("Slice", Value::String("a.slice".into())) && has("Delegate", Value::Bool(true)));
    assert!(has("PIDs", Value::Numbers(vec![17])) && has("DefaultDependencies", Value::Bool(false)));
}

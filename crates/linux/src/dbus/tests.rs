use std::os::unix::net::UnixListener;

use super::*;

const PEER: Target<'_> = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// A message as a peer writes it: fields of kind `s` (or `u` for the serial that is answered), and a body.
pub(crate) fn message(kind: u8, fields: &[(u8, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'l', kind, 0, 1];
    wire::put_u32(&mut bytes, body.len() as u32);
    wire::put_u32(&mut bytes, 99);
    wire::put_u32(&mut bytes, 0);
    for (code, text) in fields {
        wire::align(&mut bytes, 8);
        bytes.push(*code);
        match text.parse::<u32>() {
            Ok(number) => {
                wire::put_signature(&mut bytes, "u");
                wire::put_u32(&mut bytes, number);
            }
            Err(_) => {
                wire::put_signature(&mut bytes, "s");
                wire::put_string(&mut bytes, text);
            }
        }
    }
    let length = (bytes.len() - 16) as u32;
    bytes[12..16].copy_from_slice(&length.to_le_bytes());
    wire::align(&mut bytes, 8);
    bytes.extend_from_slice(body);
    bytes
}

/// A peer that lets anyone in, and answers each message that it receives with the next of these.
pub(crate) fn peer(answers: Vec<Vec<u8>>) -> (tempfile::TempDir, String, std::thread::JoinHandle<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        let mut until = |stream: &mut UnixStream, end: &[u8]| {
            while !text.ends_with(end) {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                text.push(byte[0]);
            }
        };
        until(&mut stream, b"\r\n");
        stream.write_all(b"DATA\r\n").unwrap();
        until(&mut stream, b"DATA\r\n");
        stream.write_all(b"OK 0123\r\n").unwrap();
        until(&mut stream, b"BEGIN\r\n");
        for answer in answers {
            let mut fixed = [0; 16];
            if stream.read_exact(&mut fixed).is_err() {
                break;
            }
            let number = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().unwrap()) as usize;
            let mut rest = vec![0; number(12).next_multiple_of(8) + number(4)];
            stream.read_exact(&mut rest).unwrap();
            stream.write_all(&answer).unwrap();
        }
        text
    });
    let address = address_of(&path.to_string_lossy());
    (dir, address, thread)
}

#[test]
fn a_call_is_written_as_the_specification_says() {
    let bytes = encode(7, PEER, "Reload", &Body::default().string("x")).unwrap();
    assert_eq!(&bytes[..12], &[b'l', 1, 0, 1, 6, 0, 0, 0, 7, 0, 0, 0]);
    let fields = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    assert_eq!(bytes.len(), 16 + fields.next_multiple_of(8) + 6);
    let mut expect = vec![1, 1, b'o', 0, 25, 0, 0, 0];
    expect.extend(b"/org/freedesktop/systemd1\0");
    assert_eq!(&bytes[16..16 + expect.len()], expect);
    assert!(bytes.ends_with(&[1, 0, 0, 0, b'x', 0]));
    let mut message = Message::default();
    message.read_fields(&bytes[16..16 + fields]).unwrap();
    assert_eq!((message.interface.as_str(), message.member.as_str()), (PEER.interface, "Reload"));
}

#[test]
fn answers_errors_and_signals_are_told_apart() {
    let mut job = Vec::new();
    wire::put_u32(&mut job, 3);
    for text in ["/job/3", "a.scope", "done"] {
        wire::put_string(&mut job, text);
    }
    let mut path = Vec::new();
    wire::put_string(&mut path, "/job/3");
    let mut why = Vec::new();
    wire::put_string(&mut why, "Unit a.scope already exists.");
    let signal = message(SIGNAL, &[(HEADER_INTERFACE, PEER.interface), (HEADER_MEMBER, "JobRemoved")], &job);
    // The signal overtakes the answer; it must not be lost.
    let started = [signal, message(REPLY, &[(HEADER_REPLY_SERIAL, "2")], &path)].concat();
    let failure = message(
        FAILURE,
        &[(HEADER_REPLY_SERIAL, "3"), (HEADER_ERROR_NAME, "org.freedesktop.systemd1.UnitExists")],
        &why,
    );
    let hello = message(REPLY, &[(HEADER_REPLY_SERIAL, "1")], &path);
    let (_dir, address, thread) = peer(vec![hello, started, failure]);
    let mut connection = Connection::to_bus(&format!("tcp:host=x;{address},guid=00")).unwrap();
    assert_eq!(connection.call(PEER, "A", Body::default()).unwrap().string().unwrap(), "/job/3");
    let removed = connection
        .wait_for_signal(PEER.interface, "JobRemoved", Duration::from_secs(20), |answer| {
            answer.job_removed().ok().filter(|(job, _, _)| job == "/job/3")
        })
        .unwrap();
    assert_eq!(removed, Some(("/job/3".into(), "a.scope".into(), "done".into())));
    match connection.call(PEER, "A", Body::default()) {
        Err(Error::Remote { name, text }) => {
            assert_eq!(name, "org.freedesktop.systemd1.UnitExists");
            assert_eq!(text, "Unit a.scope already exists.");
        }
        other => panic!("{other:?}"),
    }
    drop(connection);
    let said = String::from_utf8(thread.join().unwrap()).unwrap();
    assert_eq!(said, "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
}

#[test]
fn a_peer_that_talks_nonsense_is_an_error() {
    for answer in [vec![b'B'; 16], vec![b'l', 2, 0, 1, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0]] {
        let (_dir, address, _thread) = peer(vec![answer]);
        assert!(Connection::to_bus(&address).is_err());
    }
}

#[test]
fn addresses_are_escaped_and_read_again() {
    assert_eq!(address_of("/run/user/1000/bus"), "unix:path=/run/user/1000/bus");
    assert_eq!(address_of("/a b,c"), "unix:path=/a%20b%2cc");
    assert_eq!(unescape("/a%20b%2cc").as_deref(), Some("/a b,c"));
    assert_eq!(unescape("%2"), None);
    assert!(matches!(Connection::direct("tcp:host=localhost"), Err(Error::Address(_))));
    assert!(matches!(Connection::direct("unix:path=/nonexistent"), Err(Error::Io(_))));
}

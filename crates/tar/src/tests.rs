use std::io::Read as _;

use proptest::prelude::*;

use super::*;

fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut payload = Vec::new();
        reader.read_to_end(&mut payload)?;
        all.push((entry, payload));
    }
    Ok(all)
}

fn write_all(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, payload) in entries {
        writer.append_file(entry, &mut payload.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn file(path: &str, payload: &[u8]) -> (Entry, Vec<u8>) {
    let entry = Entry { size: payload.len() as u64, ..Entry::new(EntryKind::File, path, 0o644) };
    (entry, payload.to_vec())
}

/// A header with a right checksum after `edit`.
fn raw(edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut block = write_all(&[file("a", b"")])[..BLOCK].to_vec();
    edit(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn what_does_not_fit_ustar_survives_in_pax() {
    let mut odd = file(&format!("{}/é", "d".repeat(200)), b"payload");
    odd.0.uid = 4_000_000_000;
    odd.0.gid = 65_534;
    odd.0.mode = 0o6755;
    odd.0.mtime = Time { seconds: -2, nanoseconds: 250_000_000 };
    odd.0.xattrs = vec![
        (b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 10, 13]),
        (b"user.a".to_vec(), b"a=b\n".to_vec()),
    ];
    let mut link = Entry::new(EntryKind::Symlink, "l", 0o777);
    link.link = "t".repeat(300).into();
    link.mtime = Time { seconds: 1 << 40, nanoseconds: 1 };
    let device = Entry { device: (4095, 1_048_575), ..Entry::new(EntryKind::Char, "dev/x", 0o600) };
    let all = vec![odd, (link, Vec::new()), (device, Vec::new())];
    assert_eq!(read_all(&write_all(&all)).unwrap(), all);
}

#[test]
fn broken_archives_are_refused() {
    let good = write_all(&[file("a", b"1234")]);
    let check = |what: &str, bytes: &[u8], want: &str| {
        let error = read_all(bytes).expect_err(what).to_string();
        assert!(error.contains(want), "{what}: {error}");
    };
    check("cut in a header", &good[..100], "unexpected EOF");
    check("cut in a payload", &good[..514], "unexpected EOF");
    check("cut in padding", &good[..600], "unexpected EOF");
    check("junk", b"junk\n", "unexpected EOF");
    check("long junk", &[b'x'; 1024], "invalid tar header");
    let mut flipped = good.clone();
    flipped[0] = b'b';
    check("flipped bit", &flipped, "checksum");
    let mut lone = vec![0; BLOCK];
    lone.extend_from_slice(&good);
    check("lone zero block", &lone, "zero block");
    let size = |field: &[u8]| {
        let field = field.to_vec();
        raw(move |b| b[124..124 + field.len()].copy_from_slice(&field))
    };
    check("negative size", &size(&[0xff; 12]), "negative size");
    check(
        "huge size",
        &size(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        "larger than",
    );
    check("lying size", &size(b"77777777777\0"), "unexpected EOF");
    check("unknown kind", &raw(|b| b[156] = b'Z'), "unhandled tar header type 90");
    check(
        "huge pax header",
        &raw(|b| {
            b[156] = b'x';
            b[124..136].copy_from_slice(b"00777777777\0")
        }),
        "larger",
    );
    check("pax header and then nothing", &raw(|b| b[156] = b'x'), "unexpected EOF");
    check(
        "huge owner",
        &raw(|b| b[108..116].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])),
        "owner",
    );
    check(
        "bad device",
        &raw(|b| {
            b[156] = b'3';
            b[329..337].copy_from_slice(b"7777777\0")
        }),
        "device",
    );
}

#[test]
fn only_files_have_payload_whatever_the_size_field_says() {
    for flag in *b"123456" {
        let mut bytes = raw(|b| {
            b[156] = flag;
            b[124..136].copy_from_slice(b"00000001000\0");
        });
        bytes.extend_from_slice(&write_all(&[file("next", b"x")]));
        let all = read_all(&bytes).unwrap();
        assert_eq!(all.len(), 2, "{}", flag as char);
        assert_eq!(all[1].0.path, b"next");
    }
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let pax = |records: &[(&str, &str)], payload: &[u8]| {
        let mut body = Vec::new();
        for (key, value) in records {
            super::pax::write_record(&mut body, key.as_bytes(), value.as_bytes());
        }
        let (mut head, _) = file("x", &body);
        head.size = body.len() as u64;
        let mut bytes = write_all(&[(head, body)]);
        bytes[156] = b'x';
        let block = raw_again(&bytes[..BLOCK]);
        bytes[..BLOCK].copy_from_slice(&block);
        bytes.truncate(bytes.len() - 2 * BLOCK);
        bytes.extend_from_slice(&write_all(&[file("s", payload)]));
        read_all(&bytes)
    };
    let good = pax(&[("GNU.sparse.map", "0,2,10,2"), ("GNU.sparse.size", "20")], b"abcd").unwrap();
    assert_eq!(good[0].0.size, 20);
    let segment = |offset, length| Segment { offset, length };
    assert_eq!(good[0].0.sparse.as_deref(), Some(&[segment(0, 2), segment(10, 2)][..]));
    let zero = [("GNU.sparse.offset", "4"), ("GNU.sparse.numbytes", "4"), ("GNU.sparse.size", "8")];
    assert_eq!(pax(&zero, b"abcd").unwrap()[0].0.size, 8);
    for (what, map, size) in [
        ("overlap", "0,3,2,1", "20"),
        ("outside", "0,2,19,2", "20"),
        ("backwards", "10,2,0,2", "20"),
        ("too little payload", "0,2,10,3", "20"),
        ("too much payload", "0,2", "20"),
        ("odd", "0,2,10", "20"),
        ("overflow", "0,2,9223372036854775807,2", "20"),
        ("gigantic", "0,4", "9223372036854775807"),
    ] {
        assert!(pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)], b"abcd").is_err(), "{what}");
    }
    let one = |size, payload: &[u8]| {
        let records = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", size)];
        pax(&records, payload)
    };
    let mut payload = b"1\n4\n2\n".to_vec();
    payload.resize(BLOCK, 0);
    payload.extend_from_slice(b"ab");
    let good = one("10", &payload).unwrap();
    assert_eq!((good[0].0.sparse.as_deref(), good[0].1.as_slice()), (Some(&[segment(4, 2)][..]), &b"ab"[..]));
    assert!(one("10", b"1\n4\n").is_err());
    assert!(one("10", b"99999999999\n4\n").is_err());
}

fn raw_again(block: &[u8]) -> Vec<u8> {
    let block = block.to_vec();
    raw(move |b| b.copy_from_slice(&block))
}

proptest! {
    #[test]
    fn entries_are_read_back(
        path in "[a-z/]{1,300}", payload in proptest::collection::vec(any::<u8>(), 0..2000),
        uid in 0..u32::MAX, mode in 0..0o10000_u32, seconds in -1_i64 << 40..1_i64 << 40,
        nanoseconds in 0..1_000_000_000_u32,
    ) {
        let mut entry = file(&path, &payload);
        entry.0.uid = uid;
        entry.0.mode = mode;
        entry.0.mtime = Time { seconds, nanoseconds };
        let all = vec![entry];
        prop_assert_eq!(read_all(&write_all(&all)).unwrap(), all);
    }

    #[test]
    fn no_archive_panics(noise in proptest::collection::vec(any::<u8>(), 0..40), at in 0..BLOCK) {
        let _ = read_all(&noise);
        let bytes = raw(|block| {
            let end = (at + noise.len()).min(BLOCK);
            block[at..end].copy_from_slice(&noise[..end - at]);
        });
        let _ = read_all(&bytes);
    }
}

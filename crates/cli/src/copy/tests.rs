use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use tar::{Entry, EntryKind, Reader, Writer};

use super::path::{base, clean, parent};
use super::*;

#[test]
fn paths_are_cut_as_go_cuts_them() {
    for (path, cleaned, name, above) in [
        ("", ".", ".", "."),
        ("/", "/", "/", "/"),
        ("a", "a", "a", "."),
        ("/a/b/", "/a/b", "b", "/a/b"),
        ("/a/.", "/a", ".", "/a"),
        ("../x", "../x", "x", ".."),
        ("/../x", "/x", "x", "/"),
        ("a//b/../c", "a/c", "c", "a"),
    ] {
        assert_eq!(
            (clean(path).as_str(), base(path), parent(path).as_str()),
            (cleaned, name, above),
            "{path}"
        );
    }
    assert_eq!(split_entry("/a/b/."), ("/a/b".to_owned(), ".".to_owned()));
    assert_eq!(split_entry("/a/b/"), ("/a".to_owned(), "b".to_owned()));
    assert_eq!(split_entry("/"), ("/".to_owned(), "/".to_owned()));
    assert_eq!(absolute("/a/b/.").unwrap(), "/a/b/.");
    assert_eq!(absolute("/a/./b/").unwrap(), "/a/b/");
    assert_eq!(rebase("/a/link/", "/b/dir"), ("/b/dir/".to_owned(), "link".to_owned()));
    assert_eq!(rebase("/a/x", "/b/x"), ("/b/x".to_owned(), String::new()));
}

#[test]
fn the_plan_is_that_of_dockers_documentation() {
    let source = |path: &str, is_dir| Info { path: path.to_owned(), exists: true, is_dir, ..Info::default() };
    let rename = |from: &str, to: &str| Some(Rename::new(from, to));
    let cases = [
        // source, is it a directory, destination (exists, is a directory), result
        ("/s/file", false, "/d/new", None, Ok(("/d", rename("file", "new")))),
        ("/s/file", false, "/d/new/", None, Err("no such directory")),
        ("/s/file", false, "/d/old", Some(false), Ok(("/d", rename("file", "old")))),
        ("/s/file", false, "/d/dir", Some(true), Ok(("/d/dir", None))),
        ("/s/dir", true, "/d/new", None, Ok(("/d", rename("dir", "new")))),
        ("/s/dir", true, "/d/new/", None, Ok(("/d", rename("dir", "new")))),
        ("/s/dir", true, "/d/file", Some(false), Err("cannot copy directory")),
        ("/s/dir", true, "/d/dir", Some(true), Ok(("/d/dir", None))),
        ("/s/dir/.", true, "/d/new", None, Ok(("/d", rename(".", "new")))),
        ("/", true, "/d/new", None, Ok(("/d", rename("/", "new")))),
    ];
    for (from, is_dir, to, there, want) in cases {
        let destination = Info {
            path: to.to_owned(),
            exists: there.is_some(),
            is_dir: there == Some(true),
            ..Info::default()
        };
        let got = plan(&source(from, is_dir), &destination);
        let want = want.map(|(directory, rename)| (directory.to_owned(), rename));
        assert_eq!(got, want, "{from} to {to}");
    }
    assert_eq!(Rename::new("dir", "new").apply(b"dir/dir"), b"new/dir");
    assert_eq!(Rename::new("/", "new").apply(b"/etc"), b"new/etc");
    assert_eq!(Rename::new(".", "new").apply(b"./a.b"), b"new/a.b");
}

fn names(archive: &[u8]) -> Vec<(String, EntryKind, String)> {
    let mut reader = Reader::new(archive);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        found.push((text(entry.path), entry.kind, text(entry.link)));
    }
    found
}

#[test]
fn a_tree_is_packed_in_order_with_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    fs::create_dir_all(top.join("b")).unwrap();
    fs::write(top.join("b/file"), "content").unwrap();
    fs::hard_link(top.join("b/file"), top.join("c")).unwrap();
    symlink("b/file", top.join("a")).unwrap();
    let path = top.to_str().unwrap().to_owned();
    let packed = |path: &str, renames: &[Rename]| {
        let mut archive = Vec::new();
        pack(&source(path, false).unwrap(), renames, &mut archive).unwrap();
        names(&archive)
    };
    let entry = |name: &str, kind, link: &str| (name.to_owned(), kind, link.to_owned());
    assert_eq!(
        packed(&path, &[Rename::new("top", "new")]),
        [
            entry("new/", EntryKind::Directory, ""),
            entry("new/a", EntryKind::Symlink, "b/file"),
            entry("new/b/", EntryKind::Directory, ""),
            entry("new/b/file", EntryKind::File, ""),
            entry("new/c", EntryKind::HardLink, "new/b/file"),
        ]
    );
    assert_eq!(
        packed(&format!("{path}/."), &[])[..2],
        [entry("./", EntryKind::Directory, ""), entry("./a", EntryKind::Symlink, "b/file"),]
    );
    let error = source(&format!("{path}/c/"), false).unwrap_err();
    assert_eq!(error, "not a directory");
    let followed = source(&format!("{path}/a"), true).unwrap();
    assert_eq!((followed.path, followed.rebase_name), (format!("{path}/b/file"), "a".to_owned()));
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for entry in entries {
        writer.append_file(entry, &mut std::io::repeat(b'x')).unwrap();
    }
    writer.finish().unwrap()
}

fn entry(kind: EntryKind, path: &str, link: &str) -> Entry {
    Entry { link: link.into(), size: u64::from(kind == EntryKind::File), ..Entry::new(kind, path, 0o644) }
}

#[test]
fn nothing_leaves_the_destination() {
    use EntryKind::{Directory, File, HardLink, Symlink};
    // Each archive, and the words that refuse it; those without words unpack, and harm nobody.
    let cases: &[(&[Entry], Option<&str>)] = &[
        (&[entry(File, "../evil", "")], Some("is outside of")),
        (&[entry(File, "a/../../evil", "")], Some("is outside of")),
        (&[entry(Symlink, "l", "../.."), entry(File, "l/evil", "")], Some("not a directory")),
        (&[entry(Symlink, "l", "/"), entry(File, "l/evil", "")], Some("not a directory")),
        (&[entry(HardLink, "h", "../secret")], Some("is outside of")),
        (&[entry(Symlink, "l", "/"), entry(HardLink, "h", "l/etc/passwd")], Some("not a directory")),
        (&[entry(Directory, "d", ""), entry(Symlink, "d", "/")], Some("cannot overwrite directory")),
        (&[entry(Symlink, "l", "/etc/passwd"), entry(File, "l", "")], None),
        (&[entry(File, "/../../inside", "")], None),
    ];
    for (entries, refused) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "of the host").unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        let result = Extraction::new(top.to_str().unwrap(), &[], None).unwrap().run(&archive(entries)[..]);
        match refused {
            Some(words) => assert!(result.as_ref().unwrap_err().contains(words), "{result:?}"),
            None => result.unwrap(),
        }
        assert!(!folder.path().join("evil").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "{entries:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().to_str().unwrap();
    let both = archive(&[entry(File, "wanted", ""), entry(File, ".profile", "")]);
    let error = Extraction::new(top, &[], Some("wanted")).unwrap().run(&both[..]).unwrap_err();
    assert!(error.contains("is outside of"), "{error}");
}

#[test]
fn modes_times_and_what_is_there_already() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    fs::create_dir(top.join("dir")).unwrap();
    fs::write(top.join("dir/kept"), "kept").unwrap();
    fs::write(top.join("dir/file"), "old and longer").unwrap();
    fs::hard_link(top.join("dir/file"), top.join("other")).unwrap();
    let mut dir = Entry::new(EntryKind::Directory, "dir/", 0o500);
    dir.mtime = tar::Time { seconds: 1_000_000_000, nanoseconds: 0 };
    let bytes =
        archive(&[dir, entry(EntryKind::File, "dir/file", ""), entry(EntryKind::File, "new/file", "")]);
    Extraction::new(top.to_str().unwrap(), &[], None).unwrap().run(&bytes[..]).unwrap();
    let found = fs::metadata(top.join("dir")).unwrap();
    assert_eq!((found.permissions().mode() & 0o7777, found.mtime()), (0o500, 1_000_000_000));
    assert_eq!(fs::read_to_string(top.join("dir/kept")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(top.join("dir/file")).unwrap(), "x");
    assert_eq!(
        fs::read_to_string(top.join("other")).unwrap(),
        "old and longer",
        "another name keeps its file"
    );
    let error = Extraction::new(top.to_str().unwrap(), &[], None)
        .unwrap()
        .run(&archive(&[entry(EntryKind::File, "dir", "")])[..])
        .unwrap_err();
    assert!(error.starts_with("cannot overwrite directory"), "{error}");
}

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let options = crate::Options { snapshotter: Some("copy".to_owned()) };
    let store = Store::open_with(dir.path(), &options).unwrap();
    (dir, store)
}

fn image(id: &str, names: &[&str]) -> ImageRecord {
    let config = format!("{{\"os\":\"{id}\"}}").into_bytes();
    ImageRecord {
        id: format!("sha256:{id:0<64}").parse().unwrap(),
        config,
        manifest: None,
        layers: Vec::new(),
        size: 0,
        created: String::new(),
        parent: None,
        added_at: String::new(),
        names: names.iter().map(|name| name.parse::<ImageRef>().unwrap().with_default_tag()).collect(),
    }
}

#[test]
fn an_image_is_found_by_id_prefix_tag_and_digest() {
    let (_dir, store) = store();
    let digest = format!("sha256:{}", "d".repeat(64));
    let (a, b) =
        (image("ab1", &["box:1", &format!("box@{digest}")]), image("ab2", &["box", "host:5000/x:y"]));
    store.images().put(&a).unwrap();
    store.images().put(&b).unwrap();
    let check = |text: &str, want: Option<&ImageRecord>| {
        let got = store.images().resolve(text);
        assert_eq!(got.ok().map(|image| image.id), want.map(|image| image.id.clone()), "{text}");
    };
    check("box:1", Some(&a));
    check("box", Some(&b));
    check("docker.io/library/box:latest", Some(&b));
    check("host:5000/x:y", Some(&b));
    check(&format!("box@{digest}"), Some(&a));
    check(&format!("box:other@{digest}"), Some(&a));
    check("ab1", Some(&a));
    check("sha256:ab2", Some(&b));
    check(a.id.hex(), Some(&a));
    check(a.id.as_str(), Some(&a));
    check("box:2", None);
    check("ab3", None);
    check("", None);
    check("%", None);
    assert!(matches!(store.images().resolve("ab"), Err(Error::Ambiguous(_))));
    let read = store.images().resolve("ab1").unwrap();
    assert_eq!(read.repo_tags(), ["box:1"]);
    assert_eq!(read.repo_digests(), [format!("box@{digest}")]);
}

#[test]
fn tags_move_and_images_in_use_are_not_removed() {
    let (_dir, store) = store();
    let (a, b) = (image("a", &["box"]), image("b", &[]));
    store.images().put(&a).unwrap();
    store.images().put(&b).unwrap();
    let name: ImageRef = "box:latest".parse().unwrap();
    assert_eq!(store.images().tag(&b.id, &name).unwrap(), Some(a.id.clone()));
    assert_eq!(store.images().tag(&b.id, &name).unwrap(), None);
    assert!(store.images().get(&a.id).unwrap().unwrap().names.is_empty());
    store.leases().add("container", &Resource::Image(b.id.clone())).unwrap();
    assert!(matches!(store.images().remove(&b.id), Err(Error::InUse { .. })));
    store.leases().remove("container").unwrap();
    store.images().remove(&b.id).unwrap();
    assert!(store.images().resolve("box").unwrap_err().is_not_found());
    assert!(store.images().untag(&name).unwrap_err().is_not_found());
    assert!(store.images().tag(&b.id, &name).unwrap_err().is_not_found());
    assert_eq!(store.images().list().unwrap().len(), 1);
}

#[test]
fn images_survive_a_reopen_and_keep_their_children() {
    let (dir, store) = store();
    let (a, mut b) = (image("a", &["box"]), image("b", &["child"]));
    b.parent = Some(a.id.clone());
    store.images().put(&a).unwrap();
    store.images().put(&b).unwrap();
    drop(store);
    let options = crate::Options { snapshotter: Some("copy".to_owned()) };
    let store = Store::open_with(dir.path(), &options).unwrap();
    assert_eq!(store.images().children(&a.id).unwrap(), [b.id.clone()]);
    store.images().remove(&a.id).unwrap();
    assert_eq!(store.images().get(&b.id).unwrap().unwrap().parent, None);
    assert_eq!(store.images().names().unwrap().len(), 1);
}

//! Archives made to harm: what would leave its place is refused or held inside, what makes no sense is refused, and
//! nothing of it is kept.

use std::io::Write;

use serde_json::json;

use crate::archives::{self, BLOCK, Tar, digest};
use crate::bed::Bed;
use crate::inventory;
use crate::raw::must;

/// What an import of this layer says: the image's id, or an error.
fn import(bed: &Bed, layer: &[u8]) -> Result<String, String> {
    let heard = must(bed, "POST", "/images/create?fromSrc=-&repo=hostile", layer);
    let last = heard.text().lines().last().unwrap_or_default().to_owned();
    let said: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
    if heard.is_done() {
        return Ok(said["status"].as_str().unwrap_or_default().to_owned());
    }
    Err(said["message"].as_str().or(said["error"].as_str()).unwrap_or(&last).to_owned())
}

fn load(bed: &Bed, archive: &[u8]) -> Result<(), String> {
    let heard = must(bed, "POST", "/images/load", archive);
    if heard.is_done() { Ok(()) } else { Err(heard.text()) }
}

#[test]
fn privileged_hostile_layers_are_refused_and_nothing_is_kept() {
    let bed = Bed::empty(&[]);
    let before = inventory::take(&bed);
    let tar = Tar::default;
    let long = vec![b'x'; 64 << 10];
    let deep = "d/".repeat(3000);
    let octal = |n: u64| format!("{n:011o}\0").into_bytes();
    let mut no_checksum = tar().file("a", b"x").done();
    no_checksum[0] = b'b';
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(&tar().file("a", &[7; 5000]).done()).expect("compress");
    let zipped = zip.finish().expect("compress");
    let mut flipped = zipped.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    // A GNU sparse header: a map of one piece far behind the end of the file.
    let mut sparse = [0; BLOCK];
    sparse[..1].copy_from_slice(b"s");
    sparse[100..108].copy_from_slice(b"0000644\0");
    sparse[124..136].copy_from_slice(&octal(512));
    sparse[136..148].copy_from_slice(&octal(0));
    sparse[156] = b'S';
    sparse[257..265].copy_from_slice(b"ustar  \0");
    sparse[386..398].copy_from_slice(&octal(1 << 30));
    sparse[398..410].copy_from_slice(&octal(512));
    sparse[483..495].copy_from_slice(&octal(512));
    for (what, layer, expect) in [
        ("climbs", tar().file("../climbed", b"x").done(), "invalid entry name"),
        ("climbs later", tar().file("a/../../climbed", b"x").done(), "invalid entry name"),
        (
            "hard link above",
            tar().hard_link("a", "../../../etc/passwd").done(),
            "invalid hardlink target \"../../../",
        ),
        ("hard link to nothing", tar().hard_link("a", "/etc/passwd").done(), "no such file"),
        (
            "hard link through a link",
            tar().symlink("l", "/").hard_link("a", "l/etc/hostname").done(),
            "no such file",
        ),
        ("the root is a file", tar().file("/", b"x").done(), "root directory"),
        ("the root is a link", tar().symlink("./", "/etc").done(), "root directory"),
        ("below a file", tar().file("a", b"x").file("a/b", b"x").done(), "not a directory"),
        ("whiteout of nothing", tar().file(".wh.", b"").done(), "invalid whiteout entry"),
        ("whiteout of itself", tar().file("a/.wh..", b"").done(), "invalid whiteout entry"),
        ("whiteout of the parent", tar().file("a/.wh...", b"").done(), "invalid whiteout entry"),
        ("long name", tar().entry(b'0', &long, b"", b"").done(), "larger than"),
        ("long link", tar().entry(b'2', b"a", &long, b"").done(), "larger than"),
        ("long name of one part", tar().file(&"n".repeat(300), b"").done(), "too long"),
        ("deep name", tar().file(&format!("{deep}x"), b"").done(), "larger than"),
        ("size beyond", tar().sized(b'0', b"a", b"", &octal(0o777_7777_7777), b"x").done(), "unexpected EOF"),
        (
            "size in base 256",
            tar().sized(b'0', b"a", b"", b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"").done(),
            "invalid tar header",
        ),
        (
            "negative size",
            tar().sized(b'0', b"a", b"", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"").done(),
            "invalid tar header",
        ),
        (
            "size of nonsense",
            tar().sized(b'0', b"a", b"", b"zzzzzzzzzzz\0", b"").done(),
            "invalid tar header",
        ),
        (
            "pax size overflows",
            tar().pax("size", "99999999999999999999").file("a", b"").done(),
            "invalid tar header",
        ),
        ("pax size is negative", tar().pax("size", "-1").file("a", b"").done(), "invalid tar header"),
        ("pax climbs", tar().pax("path", "../../climbed").file("a", b"x").done(), "invalid entry name"),
        (
            "pax link climbs",
            tar().pax("linkpath", "../../../x").entry(b'1', b"a", b"b", b"").done(),
            "invalid hardlink",
        ),
        (
            "pax of nonsense",
            tar().entry(b'x', b"pax", b"", b"999 path=a\n").file("a", b"").done(),
            "invalid tar header",
        ),
        ("pax without end", tar().entry(b'x', b"pax", b"", b"10 path=a\n").cut(), "unexpected EOF"),
        ("pax bomb", tar().sized(b'x', b"pax", b"", &octal(100 << 20), &[b'1'; 4096]).done(), "larger than"),
        (
            "long name bomb",
            tar().sized(b'L', b"././@LongLink", b"", &octal(1 << 30), &[b'1'; 4096]).done(),
            "larger than",
        ),
        ("sparse lie", tar().block(sparse).raw(&[7; BLOCK]).done(), "invalid tar header"),
        ("checksum", no_checksum, "invalid tar header"),
        ("no tar", b"not a tar at all".repeat(100), "invalid tar header"),
        ("half a gzip", zipped[..middle].to_vec(), ""),
        ("damaged gzip", flipped, ""),
        ("unknown kind", tar().entry(b'Q', b"a", b"", b"").done(), ""),
    ] {
        match import(&bed, &layer) {
            Ok(id) => panic!("{what}: taken as {id}"),
            Err(said) => assert!(
                said.to_lowercase().contains(&expect.to_lowercase()) && !said.is_empty(),
                "{what}: {said:?}"
            ),
        }
        inventory::wait_for(&bed, &before, what);
    }
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
}

#[test]
fn privileged_what_is_odd_but_harmless_stays_inside() {
    let bed = Bed::new();
    let outside = bed.path("outside");
    std::fs::create_dir(&outside).expect("make a folder");
    let up = outside.to_str().expect("temporary paths are text");
    let rootfs = std::fs::read(crate::bed::rootfs_tar()).expect("read the image");
    let layer = Tar::default()
        .file("/absolute", b"inside")
        .file("/../../above", b"inside")
        .symlink("root", "/")
        .file("root/through", b"inside")
        .directory(up)
        .symlink("out", up)
        .file("out/written", b"inside")
        .symlink("self", "self")
        .symlink("up", "../../../..")
        .file("up/within", b"inside")
        .entry(b'3', b"dev-null", b"", b"")
        .entry(b'6', b"fifo", b"", b"")
        .file(".wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        .file("twice", b"first")
        .file("twice", b"second")
        .directory("twice-dir")
        .file("twice-dir", b"a file now")
        .cut();
    // The same file system below it, so that something runs.
    let whole = [layer, rootfs].concat();
    import(&bed, &whole).expect("an odd layer");
    let cat = |path: &str| bed.docker(&["run", "--rm", "--network", "none", "hostile", "cat", path]).ok();
    for path in ["/absolute", "/above", "/through", "/within"] {
        assert_eq!(cat(path), "inside", "{path}");
    }
    assert_eq!((cat("/twice"), cat("/twice-dir")), ("second".to_owned(), "a file now".to_owned()));
    assert_eq!(cat(&format!("{up}/written")), "inside", "a link leads inside of the image");
    assert_eq!(std::fs::read_dir(&outside).expect("list").count(), 0, "something was written on the host");
    // A device is there, and of no use: the container's device rules decide.
    bed.docker(&["run", "--rm", "--network", "none", "hostile", "test", "-c", "/dev-null"]).ok();
}

#[test]
fn privileged_an_archive_cut_at_any_block_is_refused() {
    let bed = Bed::empty(&[]);
    let before = inventory::take(&bed);
    let archive = archives::image("cut:1", &[archives::layer("one"), archives::layer("two")]);
    // Without its last two blocks it is whole: many tools forget them.
    for at in (0..archive.len() - 2 * BLOCK).step_by(BLOCK) {
        let said = load(&bed, &archive[..at]);
        assert!(said.is_err(), "cut at {at} of {}", archive.len());
    }
    for at in [1, BLOCK - 1, BLOCK + 1, archive.len() / 2 + 77] {
        assert!(load(&bed, &archive[..at]).is_err(), "cut at {at}");
    }
    inventory::wait_for(&bed, &before, "cut archives");
    assert_eq!(load(&bed, &archive), Ok(()));
    bed.docker(&["rmi", "cut:1"]).ok();
    inventory::wait_for(&bed, &before, "an image that was removed");
}

/// An OCI layout with this index.
fn layout(index: &serde_json::Value, blobs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Tar::default().file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    for (name, bytes) in blobs {
        tar = tar.file(&format!("blobs/sha256/{}", name.trim_start_matches("sha256:")), bytes);
    }
    tar.file("index.json", index.to_string().as_bytes()).done()
}

#[test]
fn privileged_hostile_image_archives_are_refused_and_nothing_is_kept() {
    let bed = Bed::empty(&[]);
    let before = inventory::take(&bed);
    let layer = archives::layer("one");
    let layers = std::slice::from_ref(&layer);
    let config = archives::config(layers);
    let manifest_json = |config: &str, layers: &[&str]| {
        let text = json!([{"Config": config, "RepoTags": ["hostile:1"], "Layers": layers}]).to_string();
        Tar::default()
            .file("c.json", &archives::config(&vec![layer.clone(); layers.len()]))
            .file("l.tar", &layer)
            .file("manifest.json", text.as_bytes())
    };
    let (kind, index_kind) =
        ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json");
    let of =
        |bytes: &[u8], kind: &str| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
    let oci_manifest = |config_size: serde_json::Value, layer_size: serde_json::Value| {
        let mut of_config = of(&config, "application/vnd.oci.image.config.v1+json");
        of_config["size"] = config_size;
        let mut of_layer = of(&layer, "application/vnd.oci.image.layer.v1.tar");
        of_layer["size"] = layer_size;
        json!({"schemaVersion": 2, "mediaType": kind, "config": of_config, "layers": [of_layer]})
            .to_string()
            .into_bytes()
    };
    let oci = |manifest: &[u8]| {
        let index = json!({"schemaVersion": 2, "manifests": [of(manifest, kind)]});
        layout(
            &index,
            &[(&digest(manifest), manifest), (&digest(&config), &config), (&digest(&layer), &layer)],
        )
    };
    let honest = oci_manifest(json!(config.len()), json!(layer.len()));
    let mut deep = of(&honest, kind);
    let mut blobs = vec![(digest(&honest), honest.clone())];
    for _ in 0..20 {
        let text = json!({"schemaVersion": 2, "mediaType": index_kind, "manifests": [deep]})
            .to_string()
            .into_bytes();
        deep = of(&text, index_kind);
        blobs.push((digest(&text), text));
    }
    let blobs: Vec<_> = blobs.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let deep = layout(&json!({"schemaVersion": 2, "manifests": [deep]}), &blobs);
    let large_config = [&config[..config.len() - 1], b",\"x\":\"", &vec![b'x'; 100 << 20], b"\"}"].concat();
    let other_layer = archives::docker_archive("hostile:1", &config, &[archives::layer("other")]);
    for (what, archive, expect) in [
        ("nothing", Tar::default().done(), "neither manifest.json nor index.json"),
        ("config outside", manifest_json("../../../etc/passwd", &["l.tar"]).done(), "outside of the archive"),
        ("config missing", manifest_json("none.json", &["l.tar"]).done(), "archive has no file none.json"),
        ("layer missing", manifest_json("c.json", &["none.tar"]).done(), "archive has no file none.tar"),
        (
            "config by a link",
            manifest_json("loop", &["l.tar"]).symlink("loop", "loop").done(),
            "archive has no file loop",
        ),
        (
            "link outside",
            manifest_json("out", &["l.tar"]).symlink("out", "../../etc/passwd").done(),
            "outside of the archive",
        ),
        ("10,000 layers", manifest_json("c.json", &vec!["l.tar"; 10_000]).done(), "max depth exceeded"),
        ("another layer", other_layer, ""),
        ("no JSON", Tar::default().file("manifest.json", b"[{").done(), ""),
        ("an object", Tar::default().file("manifest.json", b"{}").done(), ""),
        ("deep JSON", Tar::default().file("manifest.json", "[".repeat(100_000).as_bytes()).done(), ""),
        ("bad name", archives::docker_archive("Bad Name:1", &config, layers), "invalid reference format"),
        ("config of 100 MB", archives::docker_archive("hostile:1", &large_config, layers), "larger than"),
        (
            "manifest.json of 100 MB",
            Tar::default().file("manifest.json", &vec![b' '; 100 << 20]).done(),
            "larger than",
        ),
        ("wrong digest", layout(&json!({}), &[(&digest(b"x"), b"y")]), "digest mismatch"),
        ("wrong size", oci(&oci_manifest(json!(config.len()), json!(1))), "size mismatch"),
        ("negative size", oci(&oci_manifest(json!(config.len()), json!(-1))), "sha256:"),
        ("huge size", oci(&oci_manifest(json!(config.len()), json!(u64::MAX))), "size mismatch"),
        ("deep indexes", deep, "media type"),
        (
            "sparse file",
            Tar::default()
                .pax("GNU.sparse.major", "1")
                .pax("GNU.sparse.minor", "0")
                .file("l.tar", b"x")
                .done(),
            "",
        ),
    ] {
        match load(&bed, &archive) {
            Ok(()) => panic!("{what}: taken"),
            Err(said) => assert!(said.contains(expect), "{what}: {said}"),
        }
        inventory::wait_for(&bed, &before, what);
    }
    // One layer twice is honest, and Docker makes such images.
    assert_eq!(load(&bed, &archives::image("twice:1", &[layer.clone(), layer.clone()])), Ok(()));
    bed.docker(&["rmi", "twice:1"]).ok();
    assert_eq!(load(&bed, &oci(&honest)), Ok(()), "the honest one among them");
    bed.docker(&["image", "prune", "-af"]).ok();
    inventory::wait_for(&bed, &before, "images that were removed");
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
}

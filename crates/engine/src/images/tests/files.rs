//! Load, save and import.

use futures_util::StreamExt as _;

use super::*;

async fn save(world: &World, names: &[&str]) -> Result<Vec<u8>> {
    let mut stream = world.images.save(names.iter().map(|name| (*name).to_owned()).collect(), None).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

async fn load(world: &World, archive: Vec<u8>, quiet: bool) -> (Vec<String>, Option<String>) {
    lines(world.images.load(std::io::Cursor::new(archive), None, quiet)).await
}

async fn import(world: &World, name: &str) -> Digest {
    let request = ImportRequest {
        reference: ImportRequest::name(name, "").unwrap(),
        changes: vec!["CMD echo hi".to_owned()],
        message: "from a test".to_owned(),
        platform: None,
    };
    let (lines, error) = lines(world.images.import(std::io::Cursor::new(tar("a", "one")), request)).await;
    assert_eq!(error, None);
    lines.last().unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_an_image_of_one_layer() {
    let world = World::new();
    let id = import(&world, "imported").await;
    let details = world.images.inspect("imported").await.unwrap();
    assert_eq!((details.id.clone(), details.size_bytes), (id.clone(), 3));
    assert_eq!(details.config.config.unwrap().cmd.unwrap(), ["/bin/sh", "-c", "echo hi"]);
    assert_eq!(world.images.history("imported").await.unwrap()[0].comment, "from a test");
    assert_eq!(world.actions().await, [format!("import {id}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_can_be_loaded_under_the_same_id() {
    let (one, two) = (World::new(), World::new());
    let id = import(&one, "x:1").await;
    one.images.tag("x:1", "x", "2").await.unwrap();
    let archive = save(&one, &["x"]).await.unwrap();
    let (lines, error) = load(&two, archive.clone(), false).await;
    assert_eq!(error, None);
    assert!(lines[0].ends_with(" Loading layer"), "{lines:?}");
    assert_eq!(lines[lines.len() - 2..], ["Loaded image: x:1\n", "Loaded image: x:2\n"]);
    assert_eq!(two.images.id_of("x:2").await.unwrap(), id);
    assert_eq!(two.actions().await, [format!("load {id}")]);
    let (again, _) = load(&two, save(&one, &["x:1"]).await.unwrap(), true).await;
    assert_eq!(again, ["Loaded image: x:1\n"]);
    let three = World::new();
    let (by_id, _) = load(&three, save(&one, &[id.short()]).await.unwrap(), true).await;
    assert_eq!(by_id, [format!("Loaded image ID: {id}\n")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_before_the_first_byte() {
    let world = World::new();
    assert_eq!(save(&world, &["nosuch"]).await.unwrap_err().message, "No such image: nosuch");
    assert_eq!(save(&world, &["nosuch:1"]).await.unwrap_err().message, "reference does not exist");
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_is_not_loaded() {
    let world = World::new();
    assert_eq!(load(&world, b"junk\n".to_vec(), true).await.1.as_deref(), Some("unexpected EOF"));
    assert!(load(&world, vec![0; 4096], true).await.1.is_some());
    assert_eq!(world.images.count().await.unwrap(), 0);
}

//! Names, filters, removal: tables against Docker's rules.

use super::*;
use crate::Filters;

/// What a removal said, in one line.
fn told(outcome: Result<Vec<Removed>>) -> String {
    match outcome {
        Ok(removed) => {
            let line = |removed: &Removed| match removed {
                Removed::Untagged(name) => format!("-{name}"),
                Removed::Deleted(id) => format!("x{}", &id["sha256:".len()..][..12]),
            };
            removed.iter().map(line).collect::<Vec<_>>().join(" ")
        }
        Err(error) => error.message,
    }
}

#[tokio::test]
async fn the_last_name_takes_the_image_with_it() {
    let world = World::new();
    let id = world.image(1, &["a:1", "b:1"], "null", None);
    assert_eq!(told(world.images.remove("a:1", false, true).await), "-a:1");
    assert_eq!(told(world.images.remove("b:1", false, true).await), format!("-b:1 x{}", id.short()));
    assert_eq!(told(world.images.remove("b:1", false, true).await), "No such image: b:1");
    assert_eq!(world.actions().await, [format!("untag {id}"), format!("untag {id}"), format!("delete {id}")]);
}

#[tokio::test]
async fn an_id_with_several_repositories_needs_force() {
    let world = World::new();
    let id = world.image(1, &["a:1", "b:1"], "null", None);
    let short = id.short();
    let conflict = format!(
        "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    );
    assert_eq!(told(world.images.remove(short, false, true).await), conflict);
    assert_eq!(told(world.images.remove(short, true, true).await), format!("-a:1 -b:1 x{short}"));
}

#[tokio::test]
async fn digests_go_with_the_last_tag_of_their_repository() {
    let world = World::new();
    let digest = format!("a@sha256:{}", "1".repeat(64));
    let id = world.image(1, &["a:1", "a:2", &digest], "null", None);
    assert_eq!(told(world.images.remove("a:2", false, true).await), "-a:2");
    assert_eq!(
        told(world.images.remove("a:1", false, true).await),
        format!("-a:1 -{digest} x{}", id.short())
    );
    let id = world.image(1, &["a:1", &digest], "null", None);
    assert_eq!(
        told(world.images.remove(id.hex(), false, true).await),
        format!("-a:1 -{digest} x{}", id.short())
    );
    let other = format!("b@sha256:{}", "1".repeat(64));
    world.image(1, &["a:1", &other], "null", None);
    assert_eq!(
        told(world.images.remove("a:1", false, true).await),
        "-a:1",
        "another repository still names it"
    );
}

#[tokio::test]
async fn a_container_protects_its_image() {
    let world = World::new();
    let (id, user) = (world.image(1, &["a:1"], "null", None), container(7));
    let (short, by) = (id.short().to_owned(), user.short().to_owned());
    world.lease(&user, &id);
    let stopped = format!(
        "conflict: unable to delete {short} (must be forced) - image is being used by stopped container {by}"
    );
    let by_name = format!(
        "conflict: unable to remove repository reference \"a:1\" (must force) - container {by} is using its referenced image {short}"
    );
    assert_eq!(told(world.images.remove("a:1", false, true).await), by_name);
    assert_eq!(told(world.images.remove(&short, false, true).await), stopped);
    world.images.set_running(&user, Some(&id));
    let running = format!(
        "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {by}"
    );
    assert_eq!(told(world.images.remove(&short, true, true).await), running);
    assert_eq!(
        told(world.images.remove("a:1", true, true).await),
        "-a:1",
        "forced, the name goes and the image stays"
    );
    assert_eq!(world.images.inspect(&short).await.unwrap().repo_tags, Vec::<String>::new());
    world.images.set_running(&user, None);
    assert_eq!(told(world.images.remove(&short, true, true).await), format!("x{short}"));
}

#[tokio::test]
async fn one_of_two_names_goes_though_a_container_uses_the_image() {
    let world = World::new();
    let id = world.image(1, &["a:1", "b:1"], "null", None);
    world.lease(&container(1), &id);
    assert_eq!(told(world.images.remove("b:1", false, true).await), "-b:1");
}

#[tokio::test]
async fn parents_stay_while_they_have_children_and_go_with_the_last_one() {
    let world = World::new();
    let parent = world.image(1, &[], "null", None);
    let child = world.image(2, &["a:1"], "null", Some(&parent));
    let conflict = format!(
        "conflict: unable to delete {} (cannot be forced) - image has dependent child images",
        parent.short()
    );
    assert_eq!(told(world.images.remove(parent.hex(), true, true).await), conflict);
    let both = format!("-a:1 x{} x{}", child.short(), parent.short());
    assert_eq!(told(world.images.remove("a:1", false, true).await), both);
    let parent = world.image(1, &[], "null", None);
    let child = world.image(2, &["a:1"], "null", Some(&parent));
    assert_eq!(
        told(world.images.remove("a:1", false, false).await),
        format!("-a:1 x{}", child.short()),
        "noprune"
    );
    assert!(world.images.inspect(parent.hex()).await.is_ok());
}

#[tokio::test]
async fn what_is_no_reference_is_refused() {
    let world = World::new();
    assert_eq!(told(world.images.remove("bad name", false, true).await), "invalid reference format");
    assert_eq!(told(world.images.remove("nosuch", false, true).await), "No such image: nosuch:latest");
    let id = "f".repeat(64);
    assert_eq!(told(world.images.remove(&id, false, true).await), format!("No such image: {id}"));
}

#[tokio::test]
async fn filters_choose_as_dockers() {
    let world = World::new();
    let base = world.image(1, &[], r#"{"team":"a"}"#, None);
    world.image(2, &["parity/bb:1", "x:latest"], r#"{"team":"a","new":""}"#, Some(&base));
    world.image(3, &["y:latest"], r#"{"team":"b"}"#, None);
    world.image(4, &[], "null", None);
    for (pairs, want) in [
        (vec![], "4 3 2"),
        (vec![("dangling", "true")], "4"),
        (vec![("dangling", "false")], "3 2"),
        (vec![("label", "team")], "3 2"),
        (vec![("label", "team=a"), ("label", "new")], "2"),
        (vec![("label", "team=a"), ("label!", "new")], ""),
        (vec![("before", "y")], "2"),
        (vec![("since", "x")], "4 3"),
        (vec![("until", "2024-01-03T00:00:00Z")], "2"),
        (vec![("reference", "parity/*")], "2"),
        (vec![("reference", "?"), ("reference", "nosuch")], "3 2"),
        (vec![("reference", "y:lat*")], "3"),
        (vec![("reference", "parity*")], ""),
        (vec![("reference", "[")], "syntax error in pattern"),
        (vec![("before", "nosuch")], "No such image: nosuch:latest"),
        (vec![("dangling", "maybe")], "invalid filter 'dangling=[maybe]'"),
        (vec![("bogus", "1")], "invalid filter 'bogus'"),
    ] {
        let request = ListRequest { filters: Filters::from_pairs(pairs.clone()), ..ListRequest::default() };
        let got = match world.images.list(request).await {
            Ok(found) => found.iter().map(|image| image.size_bytes.to_string()).collect::<Vec<_>>().join(" "),
            Err(error) => error.message,
        };
        assert_eq!(got, want, "{pairs:?}");
    }
    let all = world
        .images
        .list(ListRequest { all: true, container_count: true, ..ListRequest::default() })
        .await
        .unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!((all[2].containers, all[2].shared_size_bytes), (0, -1));
    let request =
        ListRequest { filters: Filters::from_pairs([("reference", "x")]), ..ListRequest::default() };
    assert_eq!(
        world.images.list(request).await.unwrap()[0].repo_tags,
        ["x:latest"],
        "only the names that fit"
    );
}

#[tokio::test]
async fn prune_takes_what_nobody_names_or_uses() {
    let world = World::new();
    let dangling = world.image(1, &[], "null", None);
    let used = world.image(2, &[], "null", None);
    world.image(3, &["a:1"], r#"{"keep":"1"}"#, None);
    let unused = world.image(4, &["b:1"], "null", None);
    world.lease(&container(1), &used);
    let pruned = world.images.prune(Filters::default()).await.unwrap();
    assert_eq!(pruned.removed, [Removed::Deleted(dangling.to_string())]);
    let filters = Filters::from_pairs([("dangling", "false"), ("label!", "keep")]);
    let pruned = world.images.prune(filters).await.unwrap();
    assert_eq!(told(Ok(pruned.removed)), format!("-b:1 x{}", unused.short()));
    assert_eq!(world.images.count().await.unwrap(), 2);
    assert_eq!(
        world.images.prune(Filters::from_pairs([("x", "1")])).await.unwrap_err().message,
        "invalid filter 'x'"
    );
}

#[tokio::test]
async fn a_tag_moves_and_is_told() {
    let world = World::new();
    let (one, two) = (world.image(1, &["a:1"], "null", None), world.image(2, &[], "null", None));
    world.images.tag(two.short(), "a", "1").await.unwrap();
    assert_eq!(world.images.id_of("a:1").await.unwrap(), two);
    assert!(world.images.inspect(one.hex()).await.unwrap().repo_tags.is_empty());
    assert_eq!(world.actions().await, ["tag a:1"]);
    assert_eq!(world.images.tag("nosuch:1", "x", "1").await.unwrap_err().message, "No such image: nosuch:1");
}

#[tokio::test]
async fn an_image_for_another_platform_is_not_taken() {
    let world = World::new();
    world.image(1, &["a:latest"], "null", None);
    let wanted: Platform = "linux/arm64".parse().unwrap();
    let error = world.images.resolve("a", Some(&wanted)).await.unwrap_err();
    assert_eq!(
        error.message,
        "image with reference a was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)"
    );
    let resolved = world.images.resolve("a", Some(&"linux/amd64".parse().unwrap())).await.unwrap();
    assert_eq!(resolved.chain_id, None);
}

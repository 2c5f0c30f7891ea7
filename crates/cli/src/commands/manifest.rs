//! `docker manifest`: lists of manifests are made here, from what is at a registry, and put there.

use aws_lc_rs::digest::{SHA256, digest};
use types::ImageRef;
use types::reference::InvalidReference;

use crate::context::Context;
use crate::flags::{Action, Args, Command, Kind, Parsed, flag};
use crate::format::json;
use crate::manifests::{Found, ImageManifest, Lists, Remote, StoreError, list_document};
use crate::{Failure, Outcome, print_line};

pub(super) static MANIFEST: Command = Command::new(
    "manifest",
    "COMMAND",
    "Manage Docker image manifests and manifest lists",
    Action::Group(&[&ANNOTATE, &CREATE, &INSPECT, &PUSH, &RM]),
)
.long(ABOUT)
.experimental();
static ANNOTATE: Command = Command::new(
    "annotate",
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    "Add additional information to a local image manifest",
    Action::Run(annotate),
)
.flags(&[
    flag("arch", Kind::Str, "Set architecture"),
    flag("os", Kind::Str, "Set operating system"),
    flag("os-features", Kind::Strings, "Set operating system feature"),
    flag("os-version", Kind::Str, "Set operating system version"),
    flag("variant", Kind::Str, "Set architecture variant"),
])
.args(Args::Exactly(2))
.experimental();
static CREATE: Command = Command::new(
    "create",
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Create a local manifest list for annotating and pushing to a registry",
    Action::Run(create),
)
.flags(&[
    flag("amend", Kind::Bool, "Amend an existing manifest list").short('a'),
    flag("insecure", Kind::Bool, INSECURE),
])
.args(Args::AtLeast(2))
.experimental();
static INSPECT: Command = Command::new(
    "inspect",
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Display an image manifest, or manifest list",
    Action::Run(inspect),
)
.flags(&[
    flag("insecure", Kind::Bool, INSECURE),
    flag("verbose", Kind::Bool, "Output additional info including layers and platform").short('v'),
])
.args(Args::Between(1, 2))
.experimental();
static PUSH: Command = Command::new(
    "push",
    "[OPTIONS] MANIFEST_LIST",
    "Push a manifest list to a repository",
    Action::Run(push),
)
.flags(&[
    flag("insecure", Kind::Bool, "Allow push to an insecure registry"),
    flag("purge", Kind::Bool, "Remove the local manifest list after push").short('p'),
])
.args(Args::Exactly(1))
.experimental();
static RM: Command = Command::new(
    "rm",
    "MANIFEST_LIST [MANIFEST_LIST...]",
    "Delete one or more manifest lists from local storage",
    Action::Run(rm),
)
.args(Args::AtLeast(1))
.experimental();

const ABOUT: &str = "The **docker manifest** command has subcommands for managing image manifests and
manifest lists. A manifest list allows you to use one name to refer to the same image
built for multiple architectures.

To see help for a subcommand, use:

    docker manifest CMD --help

For full details on using docker manifest lists, see the registry v2 specification.";
const INSECURE: &str = "Allow communication with an insecure registry";

/// Systems and architectures that Go builds for, as Docker's client knows them.
const TARGETS: [(&str, &[&str]); 9] = [
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm"]),
    ("linux", &["386", "amd64", "arm", "arm64", "ppc64le", "mips64", "mips64le", "riscv64", "s390x"]),
    ("netbsd", &["386", "amd64", "arm"]),
    ("openbsd", &["386", "amd64", "arm"]),
    ("plan9", &["386", "amd64"]),
    ("solaris", &["amd64"]),
    ("windows", &["386", "amd64"]),
];

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
    }
}

fn parse(text: &str) -> Result<ImageRef, InvalidReference> {
    Ok(text.parse::<ImageRef>()?.with_default_tag())
}

fn plain(error: &InvalidReference) -> Failure {
    Failure::new(error.to_string())
}

fn lists(context: &Context) -> Lists {
    Lists::new(&context.directory())
}

fn annotate(context: &Context, parsed: &Parsed) -> Outcome {
    let (list_name, name) = (&parsed.args[0], &parsed.args[1]);
    let failed = |what: &str, name: &str, error: InvalidReference| {
        Failure::new(format!("annotate: error parsing name for {what} {name}: {error}"))
    };
    let list = parse(list_name).map_err(|error| failed("manifest list", list_name, error))?;
    let image = parse(name).map_err(|error| failed("manifest", name, error))?;
    let mut manifest = match lists(context).get(&list, &image) {
        Err(StoreError::Missing(_)) => {
            return Err(Failure::new(format!("manifest for image {name} does not exist in {list_name}")));
        }
        other => other?,
    };
    let target = manifest.entry.platform.get_or_insert_default();
    for (value, place) in [
        (parsed.text("os"), &mut target.os),
        (parsed.text("arch"), &mut target.architecture),
        (parsed.text("variant"), &mut target.variant),
        (parsed.text("os-version"), &mut target.os_version),
    ] {
        if !value.is_empty() {
            value.clone_into(place);
        }
    }
    for feature in parsed.list("os-features") {
        if !target.os_features.contains(&feature) {
            target.os_features.push(feature);
        }
    }
    let is_known = |(os, architectures): &(&str, &[&str])| {
        *os == target.os && architectures.contains(&target.architecture.as_str())
    };
    if !TARGETS.iter().any(is_known) {
        // The words name what was asked for, not what would have come of it.
        return Err(Failure::new(format!(
            "manifest entry for image has unsupported os/arch combination: {}/{}",
            parsed.text("os"),
            parsed.text("arch")
        )));
    }
    Ok(lists(context).save(&list, &image, &manifest)?)
}

fn create(context: &Context, parsed: &Parsed) -> Outcome {
    let (name, manifests) = parsed.args.split_first().ok_or("no manifest list is named")?;
    let list = parse(name)
        .map_err(|error| Failure::new(format!("error parsing name for manifest list {name}: {error}")))?;
    let lists = lists(context);
    match lists.list(&list) {
        Err(StoreError::Missing(_)) => {}
        Err(error) => return Err(error.into()),
        Ok(_) if parsed.on("amend") => {}
        Ok(_) => return Err("refusing to amend an existing manifest list with no --amend flag".into()),
    }
    let remote = Remote::new(context, parsed.on("insecure"))?;
    for name in manifests {
        let image = parse(name).map_err(|error| plain(&error))?;
        let manifest = match lists.get(&list, &image) {
            Ok(known) => known,
            Err(StoreError::Missing(_)) => remote.manifest(&image)?,
            Err(error) => return Err(error.into()),
        };
        lists.save(&list, &image, &manifest)?;
    }
    print_line(&format!("Created manifest list {list}"));
    Ok(())
}

fn inspect(context: &Context, parsed: &Parsed) -> Outcome {
    let verbose = parsed.on("verbose");
    let (list, name) = match parsed.args.as_slice() {
        [list, name] => (Some(list), name),
        [name] => (None, name),
        _ => return Err("one manifest, or a list and one of its manifests, can be inspected".into()),
    };
    let image = parse(name).map_err(|error| plain(&error))?;
    if let Some(list) = list {
        let list = parse(list).map_err(|error| plain(&error))?;
        show(&lists(context).get(&list, &image)?, verbose);
        return Ok(());
    }
    if let Ok(local) = lists(context).list(&image) {
        return show_list(&image, &local, verbose);
    }
    match Remote::new(context, parsed.on("insecure"))?.find(&image)? {
        Found::One(manifest) => show(&manifest, verbose),
        Found::List(manifests) if manifests.is_empty() => {
            return Err(Failure::new(format!("no such manifest: {image}")));
        }
        Found::List(manifests) => show_list(&image, &manifests, verbose)?,
    }
    Ok(())
}

fn show(manifest: &ImageManifest, verbose: bool) {
    let text = if verbose { manifest.to_json() } else { manifest.text() };
    print_line(&json::indent(&text, "\t"));
}

fn show_list(name: &ImageRef, manifests: &[ImageManifest], verbose: bool) -> Outcome {
    if verbose {
        let each: Vec<String> = manifests.iter().map(ImageManifest::to_json).collect();
        print_line(&json::indent(&format!("[{}]", each.join(",")), "\t"));
        return Ok(());
    }
    let (_, text) = list_document(name, manifests)
        .map_err(|why| Failure::new(format!("failed to assemble ManifestDescriptor: {why}")))?;
    print_line(&text);
    Ok(())
}

fn push(context: &Context, parsed: &Parsed) -> Outcome {
    let list = parse(&parsed.args[0]).map_err(|error| plain(&error))?;
    let manifests = lists(context).list(&list)?;
    if manifests.is_empty() {
        return Err(Failure::new(format!("{list} not found")));
    }
    for manifest in &manifests {
        let target = manifest.entry.platform.as_ref();
        if target.is_none_or(|target| target.architecture.is_empty() || target.os.is_empty()) {
            let name = &manifest.reference;
            return Err(Failure::new(format!(
                "manifest {name} must have an OS and Architecture to be pushed to a registry"
            )));
        }
    }
    let (media_type, document) = list_document(&list, &manifests).map_err(Failure::new)?;
    let elsewhere: Vec<&ImageManifest> =
        manifests.iter().filter(|manifest| manifest.reference.path() != list.path()).collect();
    for manifest in &elsewhere {
        check_bytes(manifest)?;
    }
    let remote = Remote::new(context, parsed.on("insecure"))?;
    let pusher = remote.pusher(&list)?;
    for manifest in &elsewhere {
        let is_windows = manifest.entry.platform.as_ref().is_some_and(|target| target.os == "windows");
        for blob in manifest.blobs() {
            // Layers of Windows may lie elsewhere.
            if !pusher.mount(&blob, &manifest.reference)? && !is_windows {
                let path = manifest.reference.path();
                return Err(Failure::new(format!("error mounting {path}@{blob} to {list}")));
            }
        }
    }
    for manifest in elsewhere {
        let name = list.with_digest(manifest.entry.digest.clone());
        let digest = pusher.put(&name, manifest.schema.media_type(), manifest.raw.clone())?;
        print_line(&format!("Pushed ref {name} with digest: {digest}"));
    }
    let digest = pusher.put(&list, media_type, document.into_bytes())?;
    print_line(&digest.to_string());
    if parsed.on("purge") {
        lists(context).remove(&list)?;
    }
    Ok(())
}

/// Files of old clients lack the bytes that the digest is of.
fn check_bytes(manifest: &ImageManifest) -> Outcome {
    let hex = types::id::hex(digest(&SHA256, &manifest.raw).as_ref());
    let (expected, got) = (&manifest.entry.digest, format!("sha256:{hex}"));
    if expected.as_str() != got {
        return Err(Failure::new(format!(
            "internal digest mismatch for {}: expected {expected}, got {got}",
            manifest.reference
        )));
    }
    Ok(())
}

fn rm(context: &Context, parsed: &Parsed) -> Outcome {
    let lists = lists(context);
    let remove = |name: &String| -> Outcome {
        let list = parse(name).map_err(|error| plain(&error))?;
        lists.list(&list)?;
        Ok(lists.remove(&list)?)
    };
    Failure::join(
        parsed.args.iter().filter_map(|name| remove(name).err()).map(|failure| failure.message).collect(),
    )
}

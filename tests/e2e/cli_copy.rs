//! `wharf cp` does what `docker cp` does: the same words, exit codes and files, case by case, against one daemon.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bed::{Bed, wharf_binary};

/// Made in the container `box`. Whole seconds long ago, because times are compared.
const INSIDE: &str = "mkdir -p /work/dir/sub /work/target; echo a > /work/dir/a; echo b > /work/dir/sub/b; \
    ln -s a /work/dir/link; ln /work/dir/a /work/dir/hard; chmod 750 /work/dir/sub; chmod 4711 /work/dir/a; \
    echo f > /work/file; ln -s file /work/link; ln -s dir /work/dirlink; ln -s /etc/passwd /work/absolute; \
    ln -s ../../../../up /work/up; ln -s target/none /work/broken; mkfifo /work/dir/fifo; \
    find /work -exec touch -h -d @1000000000 {} +; touch /ready; sleep 1000";

/// Copies out: they change the folder here.
const OUT: &[&str] = &[
    "--quiet=false box:/etc/passwd out",
    "box:/etc/passwd here",
    "box:/etc/passwd missing/",
    "box:/etc/passwd missing/deep",
    "--quiet=false box:/work/dir out",
    "box:/work/dir here",
    "box:/work/dir/. here",
    "box:/work/dir/. out",
    "box:/work/dir/ out",
    "box:/work/dir file",
    "box:/work/link out",
    "-L box:/work/link out",
    "-L box:/work/dirlink here",
    "-L box:/work/dirlink/. here",
    "box:/work/dirlink/ here",
    "box:/work/file outlink",
    "box:/work/file file",
    "box:/work/file/ out",
    "box:/work/absolute here",
    "box:/nosuch out",
    "nosuch:/x out",
    "box: out",
    "box:/work/dir -",
    "box:/a box:/b",
    "file file",
    "- -",
    "--nosuch",
    "only",
];

/// Copies in: they change the container.
const IN: &[&str] = &[
    "file box:/work/new",
    "--quiet=false file box:/work/dir",
    "file box:/work/missing/",
    "file box:/no/where",
    "source box:/work",
    "source box:/work/new",
    "source/. box:/work/dir",
    "source box:/work/file",
    "sourcelink box:/work",
    "sourcelink/ box:/work",
    "-L sourcelink box:/work/followed",
    "dangling box:/work",
    "-L dangling box:/work",
    "nosuch box:/work",
    "file/ box:/work",
    "./with:colon box:/work",
    "-a file box:/work/owned",
    "file box:/work/dirlink",
    "file box:/work/link",
    "file box:/work/broken",
    "file box:/dev/null",
    "- box:/work/dir",
    "- box:/work/file",
];

fn fill(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("empty the folder");
    }
    fs::create_dir_all(folder.join("source/sub")).expect("make a folder");
    fs::create_dir(folder.join("here")).expect("make a folder");
    for (name, text, mode) in [
        ("file", "content", 0o640),
        ("with:colon", "colon", 0o644),
        ("source/a", "a", 0o4755),
        ("source/sub/b", "b", 0o644),
        ("here/old", "old", 0o644),
    ] {
        fs::write(folder.join(name), text).expect("write a file");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).expect("set a mode");
    }
    fs::hard_link(folder.join("source/a"), folder.join("source/hard")).expect("make a link");
    std::os::unix::fs::chown(folder.join("file"), Some(1234), Some(1234)).expect("give a file away");
    for (target, name) in
        [("sub/b", "source/link"), ("source", "sourcelink"), ("none", "dangling"), ("out", "outlink")]
    {
        symlink(target, folder.join(name)).expect("make a link");
    }
    let aged = Command::new("find")
        .arg(folder)
        .args(["-exec", "touch", "-h", "-d", "@1000000000", "{}", "+"])
        .status();
    assert!(aged.expect("run find").success());
}

/// Everything that can be seen of a tree; of directories not the time, which each copy changes.
const SEEN: &str = "cd \"$1\" && find . | sort | while read -r f; do stat -c '%n %f %u:%g %h %s' \"$f\"; \
    [ -d \"$f\" ] || [ -L \"$f\" ] || stat -c %Y \"$f\"; [ -L \"$f\" ] && readlink \"$f\"; [ -f \"$f\" ] && md5sum < \"$f\"; done; true";

fn copy(bed: &Bed, client: &Path, folder: &Path, line: &str, archive: &[u8]) -> String {
    let mut command = Command::new(client);
    command.env("DOCKER_HOST", bed.host()).env("DOCKER_CONFIG", bed.path("config")).current_dir(folder);
    command.arg("cp").args(line.split(' '));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("run a client");
    // A client that does not read it ends before.
    let _unread = std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), archive);
    let output = child.wait_with_output().expect("wait for a client");
    // Docker's client logs its own broken pipes beside the error that is meant for users.
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("time=")).collect();
    let listed = match output.status.success() && line.ends_with(" -") {
        true => list(&output.stdout),
        false => String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    format!("{:?}\n{}\n{listed}", output.status.code(), said.join("\n"))
}

fn list(archive: &[u8]) -> String {
    let mut tar =
        Command::new("tar").arg("-tv").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run tar");
    std::io::Write::write_all(&mut tar.stdin.take().expect("it is piped"), archive).expect("feed tar");
    String::from_utf8_lossy(&tar.wait_with_output().expect("wait for tar").stdout).into_owned()
}

fn start_box(bed: &Bed) {
    bed.docker(&["rm", "-f", "box"]);
    bed.docker(&["run", "-d", "--name", "box", "busybox", "sh", "-c", INSIDE]).ok();
    bed.until(&["exec", "box", "sh", "-c", "test -e /ready && echo there"], "there");
}

#[test]
fn privileged_wharf_cp_does_what_docker_cp_does() {
    let bed = Bed::new();
    let folder = bed.path("copies");
    let clients = [Path::new("docker").to_owned(), wharf_binary()];
    start_box(&bed);
    let mut differences = Vec::new();
    let mut compare = |line: &str, results: Vec<String>| {
        if results[0] != results[1] {
            differences.push(format!("cp {line}\n--- docker\n{}\n--- wharf\n{}", results[0], results[1]));
        }
    };
    for line in OUT {
        let results = clients.iter().map(|client| {
            fill(&folder);
            let said = copy(&bed, client, &folder, line, b"");
            let seen =
                Command::new("sh").args(["-c", SEEN, "sh"]).arg(&folder).output().expect("look at files");
            format!("{said}\n{}", String::from_utf8_lossy(&seen.stdout))
        });
        compare(line, results.collect());
    }
    fill(&folder);
    let archive = Command::new("tar").args(["-C"]).arg(&folder).args(["-c", "file", "source"]).output();
    let archive = archive.expect("run tar").stdout;
    for line in IN {
        let results = clients.iter().map(|client| {
            bed.docker(&["exec", "box", "sh", "-c", "rm -rf /before; cp -a /work /before"]).ok();
            let said = copy(&bed, client, &folder, line, &archive);
            let seen = bed.docker(&["exec", "box", "sh", "-c", SEEN, "sh", "/work"]).ok();
            bed.docker(&["exec", "box", "sh", "-c", "rm -rf /work; mv /before /work"]).ok();
            format!("{said}\n{seen}")
        });
        compare(line, results.collect());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

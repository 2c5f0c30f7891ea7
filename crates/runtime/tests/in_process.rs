//! The runtime as the supervisor uses it: in its own process, without the command line.
//!
//! The runtime wants a caller with one thread, and a test has several: each test forks through the C library and works in
//! the child.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod support;

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use runtime::{CgroupMode, CreateRequest, Error, ExecRequest, Running, Stdio};
use support::Bundle;
use types::spec::Process;

/// One test at a time: a process forked while another writes a program into its bundle holds that file open for writing, and
/// nobody can execute it (`ETXTBSY`).
fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs `test` in a forked child; its panic is the test's.
fn alone(test: impl FnOnce()) {
    match linux::process::fork().unwrap() {
        None => {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
            linux::process::exit_now(i32::from(result.is_err()));
        }
        Some(pid) => {
            let pidfd = linux::pidfd::open(pid).unwrap();
            assert_eq!(linux::pidfd::wait(pidfd.as_fd()).unwrap().code(), 0, "the forked test failed");
        }
    }
}

/// Runs something with pipes and gives its standard output.
fn with_output(run: impl FnOnce(Stdio<'_>) -> Result<Running, Error>) -> Result<(i32, String), Error> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let stdio = Stdio::Fds { stdin: null.as_fd(), stdout: writer.as_fd(), stderr: writer.as_fd() };
    let running = run(stdio)?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let code = linux::pidfd::wait(running.pidfd.as_fd()).unwrap().code();
    if let Some(cgroup) = running.cgroup {
        cgroup.remove().unwrap();
    }
    Ok((code, text))
}

#[test]
fn privileged_mounts_of_the_storage_make_the_root_where_the_host_does_not_see_it() {
    let _turn = turn();
    let mut bundle = Bundle::new("touch /upper; id -un; id -G; echo $HOME; ls /");
    bundle.spec.root.as_mut().unwrap().path = "merged".into();
    // Borrowed: the bundle is the parent's to remove.
    alone(|| {
        let root = bundle.path().to_owned();
        for name in ["upper", "work", "merged", "empty"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        let lower = format!("lowerdir={}:{}", root.join("rootfs").display(), root.join("empty").display());
        let overlay = types::Mount {
            kind: "overlay".into(),
            source: "overlay".into(),
            destination: String::new(),
            options: vec![
                lower,
                format!("upperdir={}", root.join("upper").display()),
                format!("workdir={}", root.join("work").display()),
            ],
        };
        let (id, spec) = (bundle.id.clone(), bundle.spec.clone());
        let cgroup = format!("/{id}");
        let groups = ["audio".to_owned()];
        let (code, text) = with_output(|stdio| {
            let mut request = CreateRequest::new(&id, &spec, &root);
            request.rootfs_mounts = std::slice::from_ref(&overlay);
            request.stdio = stdio;
            request.user = Some("ada");
            request.groups = &groups;
            request.cgroup = CgroupMode::Path(&cgroup);
            runtime::create(&request)?.start()
        })
        .unwrap();
        // `touch` fails: the root belongs to root. What is seen is the overlay.
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("ada\n100 29\n/home/ada\n"), "{text}");
        assert!(text.contains("Permission denied"), "{text}");
        assert_eq!(std::fs::read_dir(root.join("merged")).unwrap().count(), 0);
        assert!(root.join("upper/proc").is_dir(), "mount points are made in the upper layer");

        let mut request = CreateRequest::new(&id, &spec, &root);
        request.rootfs_mounts = std::slice::from_ref(&overlay);
        request.user = Some("nosuchuser");
        let error = runtime::create(&request).unwrap_err();
        assert_eq!(error.to_string(), "unable to find user nosuchuser: no matching entries in passwd file");
    });
}

#[test]
fn privileged_a_container_that_is_not_started_goes_away() {
    let _turn = turn();
    let bundle = Bundle::new("sleep 100");
    let (id, spec, root) = (bundle.id.clone(), bundle.spec.clone(), bundle.path().to_owned());
    alone(|| {
        let created = runtime::create(&CreateRequest::new(&id, &spec, &root)).unwrap();
        let pid = created.pid;
        drop(created);
        let pidfd = linux::pidfd::open(pid).unwrap();
        assert!(linux::pidfd::exited_within(pidfd.as_fd(), 10_000).unwrap());
        assert_eq!(linux::pidfd::wait(pidfd.as_fd()).unwrap().code(), 1);
    });
}

#[test]
fn privileged_exec_gives_output_terminal_and_errors() {
    let _turn = turn();
    let bundle = Bundle::new("sleep 100");
    let (id, spec, root) = (bundle.id.clone(), bundle.spec.clone(), bundle.path().to_owned());
    alone(|| {
        let path = format!("/{id}");
        let mut request = CreateRequest::new(&id, &spec, &root);
        request.cgroup = CgroupMode::Path(&path);
        let init = runtime::create(&request).unwrap().start().unwrap();
        let cgroup = init.cgroup.as_ref();
        let exec = |args: &[&str], user: Option<&str>, stdio: Option<Stdio<'_>>| {
            let process = Process {
                args: args.iter().map(ToString::to_string).collect(),
                ..spec.process.clone().unwrap()
            };
            let request = |stdio: Stdio<'_>| {
                runtime::exec(&ExecRequest {
                    id: &id,
                    process: &process,
                    target: init.pidfd.as_fd(),
                    target_pid: init.pid,
                    linux: None,
                    cgroup,
                    stdio,
                    user,
                    groups: &[],
                    seccomp: None,
                    seccomp_flags: 0,
                    agent: None,
                    no_new_keyring: false,
                    preserve_fds: 0,
                })
            };
            match stdio {
                None => with_output(request),
                Some(stdio) => {
                    let running = request(stdio)?;
                    let mut text = Vec::new();
                    let mut master = std::fs::File::from(running.terminal.unwrap());
                    let _ = master.read_to_end(&mut text);
                    let code = linux::pidfd::wait(running.pidfd.as_fd()).unwrap().code();
                    Ok((code, String::from_utf8_lossy(&text).into_owned()))
                }
            }
        };
        assert_eq!(exec(&["id", "-u"], Some("ada"), None).unwrap(), (0, "1000\n".into()));
        let terminal = Stdio::Terminal { rows: 20, cols: 30, plain_lines: false };
        let script = "tty; stty size; echo x > /dev/tty";
        let (code, text) = exec(&["sh", "-c", script], None, Some(terminal)).unwrap();
        assert_eq!((code, text.as_str()), (0, "/dev/pts/0\r\n20 30\r\nx\r\n"));
        for (name, code) in [("nosuch", 127), ("/etc", 126), ("/etc/passwd", 126)] {
            assert_eq!(exec(&[name], None, None).unwrap_err().exit_code(), code, "{name}");
        }
        assert!(matches!(exec(&["id"], Some("x:y"), None), Err(Error::NoSuchUser(_))));
        // Children are born in this process's own pid namespace again.
        let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
        assert_eq!(std::fs::read_link("/proc/self/ns/pid_for_children").unwrap(), own);

        let before = Instant::now();
        for _ in 0..20 {
            exec(&["true"], None, None).unwrap();
        }
        println!("exec of true with pipes, mean of 20: {:?}", before.elapsed() / 20);

        linux::pidfd::send_signal(init.pidfd.as_fd(), 9).unwrap();
        assert_eq!(linux::pidfd::wait(init.pidfd.as_fd()).unwrap().code(), 137);
        init.cgroup.unwrap().remove().unwrap();
    });
}

#[test]
fn privileged_errors_of_the_last_step_leave_nothing() {
    let _turn = turn();
    let mut bundle = Bundle::new("");
    bundle.process().args = vec!["/garbage".into()];
    let file = bundle.rootfs().join("garbage");
    std::fs::write(&file, "\u{1}\u{2}").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (id, spec, root) = (bundle.id.clone(), bundle.spec.clone(), bundle.path().to_owned());
    alone(|| {
        let path = format!("/{id}");
        let mut request = CreateRequest::new(&id, &spec, &root);
        request.cgroup = CgroupMode::Path(&path);
        let created = runtime::create(&request).unwrap();
        let pid = created.pid;
        assert_eq!(created.start().unwrap_err().to_string(), "exec /garbage: exec format error");
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "reaped");
    });
}

//! Ways to a daemon that are not a socket beside us: TLS with certificates on both sides, ssh, contexts, and the files that
//! both clients share.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bed::{Bed, Said, wharf_binary};

fn run(command: &mut Command) -> Said {
    command.stdin(std::process::Stdio::null()).output().expect("run a program").into()
}

fn openssl(folder: &Path, line: &str) {
    run(Command::new("openssl").current_dir(folder).args(line.split(' '))).ok();
}

/// An authority, and certificates that it signed for a daemon on the loopback address and for a client.
fn certificates(folder: &Path) {
    fs::create_dir(folder).expect("make a folder");
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=authority",
    );
    for (name, extension) in [
        ("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ] {
        fs::write(folder.join("extension"), extension).expect("write a file");
        openssl(
            folder,
            &format!("req -newkey rsa:2048 -nodes -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -out {name}.pem -extfile \
                 extension"
            ),
        );
    }
    // The names that clients look for.
    for (from, to) in [("client.pem", "cert.pem"), ("client-key.pem", "key.pem")] {
        fs::copy(folder.join(from), folder.join(to)).expect("copy a file");
    }
}

/// A client where the daemon is: in its network namespace.
fn inside(bed: &Bed, client: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut words = vec!["-u".to_owned(), "DOCKER_HOST".to_owned()];
    words.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
    words.push(client.to_owned());
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    bed.in_namespace("env", &words)
}

#[test]
fn privileged_both_clients_reach_the_daemon_over_tls_and_only_with_a_certificate() {
    let folder = tempfile::tempdir().expect("make a folder");
    let tls = folder.path().join("tls");
    certificates(&tls);
    let file = |name: &str| tls.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server-key.pem"));
    let address = "tcp://127.0.0.1:2376";
    let bed =
        Bed::empty(&["-H", address, "--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key]);
    let wharf = wharf_binary().display().to_string();
    let config = bed.path("client").display().to_string();
    let tls = tls.display().to_string();
    for client in ["docker", &wharf] {
        let place = [("DOCKER_HOST", address), ("DOCKER_CONFIG", config.as_str())];
        let identified = [place[0], place[1], ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", tls.as_str())];
        let said = inside(&bed, client, &identified, &["version", "--format", "{{.Server.APIVersion}}"]);
        assert_eq!(said.ok(), "1.51", "{client}");
        let stranger = inside(&bed, client, &place, &["--tlsverify", "--tlscacert", &ca, "ps"]).fails(1);
        assert!(stranger.contains("remote error: tls: certificate required"), "{client}: {stranger}");
        let plain = inside(&bed, client, &place, &["ps"]).fails(1);
        assert!(plain.contains("Client sent an HTTP request to an HTTPS server."), "{client}: {plain}");
    }
    // A context that one client makes, the other uses.
    let home = [("DOCKER_CONFIG", config.as_str())];
    let endpoint = format!("host={address},ca={ca},cert={tls}/cert.pem,key={tls}/key.pem");
    inside(&bed, &wharf, &home, &["context", "create", "far", "--docker", &endpoint]).ok();
    for client in ["docker", &wharf] {
        assert_eq!(inside(&bed, client, &home, &["-c", "far", "ps", "-q"]).ok(), "");
    }
    let inspected = |client: &str| inside(&bed, client, &home, &["context", "inspect", "far"]).ok();
    assert_eq!(inspected("docker"), inspected(&wharf));
    let archive = bed.path("far.tar").display().to_string();
    inside(&bed, "docker", &home, &["context", "export", "far", &archive]).ok();
    inside(&bed, &wharf, &home, &["context", "import", "near", &archive]).ok();
    inside(&bed, &wharf, &home, &["context", "use", "near"]).ok();
    assert_eq!(inside(&bed, "docker", &home, &["context", "show"]).ok(), "near");
    let listed = |client: &str| {
        inside(
            &bed,
            client,
            &home,
            &["context", "ls", "--format", "{{.Name}} {{.Current}} {{.DockerEndpoint}}"],
        )
        .ok()
    };
    assert_eq!(
        listed("docker").lines().filter(|line| !line.starts_with("default")).collect::<Vec<_>>(),
        ["far false tcp://127.0.0.1:2376", "near true tcp://127.0.0.1:2376"]
    );
    assert_eq!(
        listed(&wharf).lines().skip(1).collect::<Vec<_>>(),
        listed("docker").lines().skip(1).collect::<Vec<_>>()
    );
    inside(&bed, &wharf, &home, &["context", "rm", "-f", "near"]).ok();
    assert_eq!(inside(&bed, "docker", &home, &["context", "show"]).ok(), "default");
}

/// A program `ssh` that does what sshd would: it gives the last argument to a shell. In it, `docker` is our client.
fn fake_ssh(folder: &Path) -> PathBuf {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).expect("write a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
    };
    write("docker", format!("#!/bin/sh\nexec '{}' \"$@\"\n", wharf_binary().display()));
    write(
        "ssh",
        "#!/bin/sh\necho \"$@\" >> \"$SSH_LOG\"\nfor last; do :; done\ncase \"$*\" in *nosuch*) echo 'no such host' >&2; \
         exit 255;; esac\nexec sh -c \"$last\"\n"
            .to_owned(),
    );
    folder.to_owned()
}

#[test]
fn privileged_a_daemon_is_reached_over_ssh() {
    let bed = Bed::new();
    let folder = tempfile::tempdir().expect("make a folder");
    let programs = fake_ssh(folder.path());
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let log = folder.path().join("log");
    let host = format!("ssh://me@far{}", bed.socket().display());
    let client = |arguments: &[&str], host: &str| {
        let mut command = Command::new(wharf_binary());
        command.args(arguments).env("PATH", &path).env("DOCKER_HOST", host).env("SSH_LOG", &log);
        run(command.env("DOCKER_CONFIG", bed.path("config")))
    };
    assert_eq!(
        client(&["run", "--rm", "--network", "none", "busybox", "echo", "hello"], &host).ok(),
        "hello"
    );
    let words = fs::read_to_string(&log).expect("it was called");
    let expect = format!(
        "-l me -o ConnectTimeout=30 -T -- far docker --host=unix://{} system dial-stdio",
        bed.socket().display()
    );
    assert_eq!(words.lines().next(), Some(expect.as_str()));
    let refused = client(&["ps"], "ssh://nosuch").fails(1);
    assert!(
        refused.contains("has exited with exit status 255") && refused.contains("stderr=no such host"),
        "{refused}"
    );
}

#[test]
fn plugins_are_found_listed_and_run_with_the_whole_command_line() {
    let folder = tempfile::tempdir().expect("make a folder");
    let plugins = folder.path().join("cli-plugins");
    fs::create_dir(&plugins).expect("make a folder");
    let write = |name: &str, text: &str| {
        let path = plugins.join(name);
        fs::write(&path, text).expect("write a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
    };
    write(
        "docker-hello",
        "#!/bin/sh\n[ \"$1\" = docker-cli-plugin-metadata ] && echo '{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"us\",\
         \"ShortDescription\":\"Says hello\"}' && exit\necho \"$@\"; exit 7\n",
    );
    write("docker-broken", "#!/bin/sh\necho no metadata\n");
    for client in ["docker".to_owned(), wharf_binary().display().to_string()] {
        let client = |arguments: &[&str]| {
            run(Command::new(&client)
                .args(arguments)
                .env("DOCKER_CONFIG", folder.path())
                .env("DOCKER_HOST", "unix:///nosuch"))
        };
        let said = client(&["-l", "info", "hello", "-x", "world"]);
        assert_eq!((said.code, said.out.as_str()), (7, "-l info hello -x world\n"));
        assert!(
            client(&["--help"])
                .ok()
                .lines()
                .any(|line| line.trim_start().starts_with("hello*") && line.ends_with("Says hello"))
        );
        assert!(client(&["broken"]).fails(1).contains("unknown command: docker broken"));
    }
}

#[test]
fn our_credential_helper_keeps_what_dockers_client_gives_it() {
    let folder = tempfile::tempdir().expect("make a folder");
    let helper = folder.path().join("docker-credential-wharf");
    std::os::unix::fs::symlink(wharf_binary(), &helper).expect("make a link");
    let call = |verb: &str, input: &str| -> Said {
        let mut command = Command::new(&helper);
        command.arg(verb).env("DOCKER_CONFIG", folder.path());
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("run the helper");
        std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), input.as_bytes())
            .expect("feed it");
        child.wait_with_output().expect("wait for the helper").into()
    };
    call("store", r#"{"ServerURL":"r.example:5000","Username":"me","Secret":"open sesame"}"#).ok();
    assert_eq!(
        call("get", "r.example:5000\n").ok(),
        r#"{"ServerURL":"r.example:5000","Username":"me","Secret":"open sesame"}"#
    );
    assert_eq!(call("list", "").ok(), r#"{"r.example:5000":"me"}"#);
    let kept = fs::read_to_string(folder.path().join("wharf-credentials/vault.json")).expect("it is kept");
    assert!(!kept.contains("sesame"), "{kept}");
    // Docker's own client asks it, and then erases.
    fs::write(folder.path().join("config.json"), r#"{"auths":{"r.example:5000":{}},"credsStore":"wharf"}"#)
        .expect("write");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let logout = run(Command::new("docker")
        .args(["logout", "r.example:5000"])
        .env("PATH", path)
        .env("DOCKER_CONFIG", folder.path()));
    assert_eq!(logout.ok(), "Removing login credentials for r.example:5000");
    let gone = call("get", "r.example:5000");
    assert_eq!((gone.code, gone.out.trim()), (1, "credentials not found in native keychain"));
}

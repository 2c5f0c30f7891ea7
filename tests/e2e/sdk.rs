//! Clients that are libraries, from their registries, unmodified: Docker's Python SDK, dockerode for Node.

use std::process::Command;

use crate::bed::{Bed, repository};

const SCRIPT: &str = r#"
import docker, sys
client = docker.DockerClient(base_url=sys.argv[1], timeout=60)
assert client.ping()
assert client.version()['ApiVersion'] == '1.51', client.version()
assert client.containers.run('busybox', 'echo hello', remove=True) == b'hello\n'
box = client.containers.run('busybox', ['sh', '-c', 'echo out; echo err >&2; sleep 1000'], detach=True, name='box', labels={'a': 'b'})
box.reload()
assert box.status == 'running', box.status
assert [c.name for c in client.containers.list(filters={'label': 'a=b'})] == ['box']
result = box.exec_run(['sh', '-c', 'echo in; exit 3'])
assert (result.exit_code, result.output) == (3, b'in\n'), result
out, err = box.exec_run(['sh', '-c', 'echo o; echo e >&2'], demux=True).output
assert (out, err) == (b'o\n', b'e\n'), (out, err)
socket = client.api.exec_start(client.api.exec_create(box.id, 'cat', stdin=True)['Id'], socket=True)
socket._sock.sendall(b'through\n')
assert b'through\n' in socket._sock.recv(100)
socket._sock.close()
logs = b''
for chunk in box.logs(stream=True, follow=True):
    logs += chunk
    if b'out' in logs and b'err' in logs: break
box.pause(); box.reload(); assert box.status == 'paused'
box.unpause(); box.rename('bax')
box.stop(timeout=0); assert box.wait()['StatusCode'] == 137
box.start(); box.kill(); box.wait(); box.remove()
try: client.containers.get('bax'); sys.exit('still there')
except docker.errors.NotFound as error: assert 'No such container: bax' in str(error), error
assert client.images.get('busybox').tags == ['busybox:latest']
assert client.info()['Containers'] == 0
print('fine')
"#;

#[test]
fn privileged_the_python_sdk_works() {
    let python = repository().join("target/tools/python/bin/python");
    assert!(python.exists(), "Docker's Python SDK is missing: scripts/needs.sh test installs it");
    let bed = Bed::new();
    let output = Command::new(python).args(["-c", SCRIPT, &bed.host()]).output().expect("run python");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.trim(), "fine", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn privileged_the_node_sdk_works() {
    let modules = repository().join("target/tools/node/node_modules");
    if !modules.join("dockerode").exists() {
        eprintln!("skipped: dockerode is missing (scripts/needs.sh test installs it where there is npm)");
        return;
    }
    let bed = Bed::new();
    let mut command = Command::new("node");
    command.arg(repository().join("tests/e2e/sdk.js")).arg(bed.socket()).env("NODE_PATH", modules);
    let output = command.output().expect("run node");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.trim(), "fine", "{}", String::from_utf8_lossy(&output.stderr));
}

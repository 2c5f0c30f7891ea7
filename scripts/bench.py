#!/usr/bin/env python3
"""Measures Wharf beside its peers, in one run, and prints a Markdown table of medians.

    bench.py [--n 30] [--only WORD] [--json FILE]        called by `cargo xtask bench`, after a release build

Peers are whatever is there: a Docker daemon at $PEER_DOCKER_HOST (with its client $PEER_DOCKER, default docker;
$PEER_DOCKER_PIDS: whose memory is its), podman when $PEER_PODMAN names a command for it, and the OCI runtimes crun and
runc on the PATH or in $PEER_RUNTIMES (name=command, comma-separated). $WHARF is another binary than the release build.
$BIG_IMAGE is the archive of a heavy image, big:latest, for the rows about images and registries; --only-images leaves all others out.
$PEER_ENTER and $PEER_WORK lead these into the peers' namespaces.
Each measurement takes one sample of each engine in turn, so that what else the machine does falls on all alike. A loop is bounded; nothing leaves the machine; all that is made is removed. Needs root.
"""
import argparse, http.client, json, os, pathlib, shlex, shutil, socket, statistics, subprocess, sys, tempfile, threading, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NULL = subprocess.DEVNULL


class Unix(http.client.HTTPConnection):
    """HTTP over a unix socket, one connection."""

    def __init__(self, path):
        super().__init__('localhost')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body)
        self.request(method, '/v1.44' + path, data, {'Content-Type': 'application/json'} if data else {})
        answer = self.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f'{method} {path}: {answer.status} {content[:200]!r}')
        return json.loads(content) if content[:1] in (b'{', b'[') else content


class Engine:
    def __init__(self, name, client, host):
        self.name, self.client, self.host = name, client, host
        self.env = dict(os.environ, DOCKER_HOST=host, DOCKER_CLI_HINTS='false') if host else dict(os.environ)

    def cli(self, *words, check=True):
        done = subprocess.run([*self.client, *words], env=self.env, stdin=NULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode:
            raise RuntimeError(f'{self.name} {words}: {done.stderr.decode()[-300:]}')
        return done.stdout.decode().strip()

    def http(self):
        return Unix(self.host.removeprefix('unix://'))


def ms(function):
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            for line in open(f'/proc/{pid}/smaps_rollup'):
                if line.startswith('Pss:'):
                    total += int(line.split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def wake_ups(pids):
    return sum(int(line.split()[1]) for pid in pids for thread in pathlib.Path(f'/proc/{pid}/task').iterdir()
               for line in open(thread / 'status') if 'voluntary_ctxt_switches' in line)


class Bench:
    def __init__(self, arguments):
        self.n, self.only, self.rows = arguments.n, arguments.only, []

    def compare(self, what, functions, n=None, unit='ms'):
        """One row: `functions` is engine name -> callable that gives one sample."""
        if self.only and self.only not in what:
            return
        samples = {name: [] for name in functions}
        for turn in range((n or self.n) + 2):
            for name, function in functions.items():
                value = function()
                if turn >= 2:  # the first two warm caches
                    samples[name].append(value)
        row = {name: {'n': len(values), 'median': statistics.median(values), 'min': min(values)} for name, values in samples.items()}
        self.rows.append((what, unit, row))
        print(f'{what}: ' + ', '.join(f"{name} {value['median']:.2f}" for name, value in row.items()) + f' {unit}', file=sys.stderr)

    def percentiles(self, what, functions, rounds):
        """Two rows: the middle and the 99th of a hundred. `functions` give several samples each."""
        if self.only and self.only not in what:
            return
        samples = {name: [] for name in functions}
        for turn in range(rounds + 1):
            for name, function in functions.items():
                values = function()
                if turn:
                    samples[name] += values
        for title, place in (('p50', 0.5), ('p99', 0.99)):
            row = {name: {'n': len(values), 'median': sorted(values)[int(len(values) * place)], 'min': min(values)} for name, values in samples.items()}
            self.rows.append((f'{what}, {title}', 'ms', row))
            print(f'{what}, {title}: ' + ', '.join(f"{name} {value['median']:.2f}" for name, value in row.items()), file=sys.stderr)

    def table(self):
        names = []
        for _, _, row in self.rows:
            names += [name for name in row if name not in names]
        lines = ['| | ' + ' | '.join(names) + ' |', '|---|' + '---:|' * len(names)]
        for what, unit, row in self.rows:
            cells = [f"{row[name]['median']:.{1 if row[name]['median'] >= 10 else 2}f} ({row[name]['min']:.{1 if row[name]['min'] >= 10 else 2}f})" if name in row else '' for name in names]
            lines.append(f'| {what}, {unit} | ' + ' | '.join(cells) + ' |')
        return '\n'.join(lines)


def api_cycle(connection):
    made = connection.call('POST', '/containers/create', {'Image': 'busybox', 'Cmd': ['true'], 'HostConfig': {'NetworkMode': 'none'}})['Id']
    connection.call('POST', f'/containers/{made}/start')
    connection.call('POST', f'/containers/{made}/wait')
    connection.call('DELETE', f'/containers/{made}')


def api_exec(connection, container):
    made = connection.call('POST', f'/containers/{container}/exec', {'Cmd': ['true'], 'AttachStdout': True})['Id']
    connection.call('POST', f'/exec/{made}/start', {'Detach': False})
    # The stream ends the connection; its end is the process's.
    connection.close()


def started(connection, host_config, exposed=()):
    """Makes a container, starts it, removes it: milliseconds of the start alone."""
    body = {'Image': 'busybox', 'Cmd': ['sleep', '100000'], 'HostConfig': host_config, 'ExposedPorts': {port: {} for port in exposed}}
    made = connection.call('POST', '/containers/create', body)['Id']
    try:
        return ms(lambda: connection.call('POST', f'/containers/{made}/start'))
    finally:
        connection.call('DELETE', f'/containers/{made}?force=1')


def ports(first, count):
    return {f'{number + 1}/tcp': [{'HostPort': str(first + number)}] for number in range(count)}


def network_rows(bench, connections):
    """What networks cost. Ports by the thousand are ours alone: Docker starts two processes for each."""
    each = lambda host_config: {name: (lambda c=c: started(c, host_config)) for name, c in connections.items()}
    bench.compare('API start, no network', each({'NetworkMode': 'none'}))
    bench.compare('API start, bridge network', each({}))
    bench.compare('API start, bridge network, one published port', each({'PortBindings': ports(18080, 1)}))

    def make_and_remove(connection):
        made = connection.call('POST', '/networks/create', {'Name': 'wharf-bench'})['Id']
        connection.call('DELETE', f'/networks/{made}')
    bench.compare('API network create+remove', {name: (lambda c=c: ms(lambda: make_and_remove(c))) for name, c in connections.items()})
    ours = connections['wharf']
    bench.compare('API start, 1,000 published ports', {'wharf': lambda: started(ours, {'PortBindings': ports(20000, 1000)})}, n=5)
    if bench.only and bench.only not in 'API start, one published port, 10,000 published before':
        return
    crowd = []
    for number in range(10):
        body = {'Image': 'busybox', 'Cmd': ['sleep', '100000'], 'HostConfig': {'PortBindings': ports(20000 + 1000 * number, 1000)}}
        crowd.append(ours.call('POST', '/containers/create', body)['Id'])
        ours.call('POST', f'/containers/{crowd[-1]}/start')
    bench.compare('API start, one published port, 10,000 published before', {'wharf': lambda: started(ours, {'PortBindings': ports(18080, 1)})})
    bench.compare('API network create+remove, 10,000 published before', {'wharf': lambda: ms(lambda: make_and_remove(ours))})
    for made in crowd:
        ours.call('DELETE', f'/containers/{made}?force=1')


# Asks the name server of its own network namespace for argv[1] argv[2] times, one after the other: milliseconds of each.
ASK = '''
import socket, struct, sys, time
question = b"".join(bytes([len(label)]) + label.encode() for label in sys.argv[1].split(".")) + b"\\0\\0\\1\\0\\1"
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.connect(("127.0.0.11", 53))
server.settimeout(5)
for number in range(int(sys.argv[2])):
    start = time.perf_counter()
    server.send(struct.pack(">HHHHHH", number & 0xffff, 0x100, 1, 0, 0, 0) + question)
    answer = server.recv(512)
    print((time.perf_counter() - start) * 1e3)
    assert answer[3] & 15 == 0 and answer[7] == 1, "no answer"
'''


def host_pid(engine, name):
    """A container's first process as this namespace numbers it: a peer may live in another one."""
    whole, pid = engine.cli('inspect', '-f', '{{.Id}} {{.State.Pid}}', name).split()
    for one in [pid, *(entry for entry in os.listdir('/proc') if entry.isdigit())]:
        try:
            if whole in open(f'/proc/{one}/cgroup').read() and open(f'/proc/{one}/comm').read() == 'sleep\n':
                return one
        except OSError:
            pass
    raise RuntimeError(f'{name} of {engine.name} has no process here')


def traffic_rows(bench, engines, daemons):
    """Throughput (iperf3) and names (dnsperf), with the host's programs in the namespaces of two containers of each engine.
    `daemons`: whose network namespace is an engine's host."""
    inside = lambda pid, *words: subprocess.run(['nsenter', '-t', str(pid), '-n', *words], stdin=NULL, stdout=subprocess.PIPE, check=True).stdout.decode()
    pids, servers = {}, []
    try:
        for engine in engines:
            engine.cli('network', 'create', 'wharf-bench-net')
            engine.cli('run', '-d', '--name', 'wharf-bench-server', '--network', 'wharf-bench-net', '-p', '15201:5201', 'busybox', 'sleep', '100000')
            engine.cli('run', '-d', '--name', 'wharf-bench-client', '--network', 'wharf-bench-net', 'busybox', 'sleep', '100000')
            pids[engine.name] = host_pid(engine, 'wharf-bench-server'), host_pid(engine, 'wharf-bench-client')
        if shutil.which('iperf3'):
            for server, _ in pids.values():
                servers.append(subprocess.Popen(['nsenter', '-t', server, '-n', 'iperf3', '-s'], stdin=NULL, stdout=NULL))
            time.sleep(0.5)
            gigabits = lambda pid, *to: json.loads(inside(pid, 'iperf3', '-J', '-t', '2', '-c', *to))['end']['sum_received']['bits_per_second'] / 1e9
            own = lambda pid: inside(pid, 'ip', '-4', '-o', 'addr', 'show', 'eth0').split()[3].split('/')[0]
            bench.compare('TCP between two containers', {name: (lambda s=s, c=c: gigabits(c, own(s))) for name, (s, c) in pids.items()}, n=5, unit='Gbit/s')
            bench.compare('TCP from the host to a published port', {name: (lambda pid=pid: gigabits(pid, '127.0.0.1', '-p', '15201')) for name, pid in daemons.items() if name in pids}, n=5, unit='Gbit/s')
        if shutil.which('dnsperf'):
            with tempfile.NamedTemporaryFile('w', suffix='.queries') as queries:
                queries.write('wharf-bench-server A\n')
                queries.flush()
                load = lambda pid: float(inside(pid, 'dnsperf', '-s', '127.0.0.11', '-d', queries.name, '-l', '2', '-c', '4').split('Queries per second:')[1].split()[0])
                bench.compare('names of containers asked at once', {name: (lambda c=c: load(c)) for name, (_, c) in pids.items()}, n=5, unit='a second')
        ask = lambda pid: [float(line) for line in inside(pid, sys.executable, '-c', ASK, 'wharf-bench-server', '1000').split()]
        bench.percentiles('a name asked for', {name: (lambda c=c: ask(c)) for name, (_, c) in pids.items()}, rounds=5)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
        for engine in engines:
            engine.cli('rm', '-f', 'wharf-bench-server', 'wharf-bench-client', check=False)
            engine.cli('network', 'rm', 'wharf-bench-net', check=False)


def silent(function):
    time.sleep(1)
    return ms(function)


def ten_at_once(engine):
    """Ten clients, each with a connection of its own, start together: what each of them waits."""
    waits, ready = [], threading.Barrier(10)

    def one():
        connection = engine.http()
        connection.call('GET', '/_ping')
        ready.wait()
        waits.append(ms(lambda: api_cycle(connection)))
        connection.close()
    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits


def zeros(engine):
    """The worst there is for a JSON log: each byte becomes six."""
    command = [*engine.client, 'run', '--rm', '--network', 'none', 'busybox', 'head', '-c', str(256 << 20), '/dev/zero']
    subprocess.run(command, env=engine.env, stdin=NULL, stdout=NULL, check=True)


def bundle(work, rootfs_tar):
    root = work / 'bundle' / 'rootfs'
    root.mkdir(parents=True)
    subprocess.run(['tar', '-C', root, '-xf', rootfs_tar], check=True)
    wharf = binary()
    subprocess.run([wharf, 'runtime', 'spec', '--bundle', root.parent], check=True)
    config = json.loads((root.parent / 'config.json').read_text())
    config['process']['args'], config['process']['terminal'] = ['/bin/true'], False
    (root.parent / 'config.json').write_text(json.dumps(config))
    return root.parent


IMAGE_WORDS = ('load', 'save', 'rmi', 'pull', 'push', 'image', 'registry')


def wait_until(what, ready):
    deadline = time.monotonic() + 60
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f'{what} does not answer')
        time.sleep(0.05)


def high_water_mib(pid):
    """The most memory that a process ever held at once."""
    return next(int(line.split()[1]) for line in open(f'/proc/{pid}/status') if line.startswith('VmHWM:')) / 1024


class Beside:
    """Programs in the peers' namespaces ($PEER_ENTER), or here; what they write lies in a folder that both sides see."""

    def __init__(self, work):
        self.enter = shlex.split(os.environ.get('PEER_ENTER', ''))
        self.work = pathlib.Path(tempfile.mkdtemp(prefix='wharf-bench-', dir=os.environ.get('PEER_WORK', work)))
        self.running = []

    def start(self, *words):
        words = [str(word) for word in words]
        process = subprocess.Popen([*self.enter, *words], stdin=NULL, stdout=NULL, stderr=open(self.work / 'log', 'a'))
        self.running.append(process)
        return process

    def run(self, *words):
        done = subprocess.run([*self.enter, *map(str, words)], stdin=NULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.stdout if done.returncode == 0 else None

    def listens(self, port):
        probe = f'import socket; socket.create_connection(("127.0.0.1", {port}), 5)'
        bash = f'exec 3<>/dev/tcp/127.0.0.1/{port}'
        return self.run('bash', '-c', bash) is not None or self.run('python3', '-c', probe) is not None

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()
        shutil.rmtree(self.work, ignore_errors=True)


def registries(beside, wharf):
    """Ours and distribution's, where that is installed: name -> (port, process). Each on a folder of its own."""
    config = beside.work / 'registry.yml'
    config.write_text(f'version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  cache: {{blobdescriptor: inmemory}}\n'
                      f'  filesystem: {{rootdirectory: {beside.work}/distribution}}\nhttp: {{addr: 127.0.0.1:5682}}\n')
    ours = beside.work / 'ours.yml'
    ours.write_text(f'version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  delete: {{enabled: true}}\n'
                    f'  filesystem: {{rootdirectory: {beside.work}/ours}}\nhttp: {{addr: 127.0.0.1:5681}}\n')
    found = {'wharf': (5681, beside.start(wharf, 'registry', 'serve', '--config', ours))}
    if beside.run('docker-registry', '--version') is not None:
        found['distribution'] = (5682, beside.start('docker-registry', 'serve', config))
    for name, (port, _) in found.items():
        wait_until(f'the registry {name}', lambda: beside.listens(port))
    return found


def registry_rows(bench, beside, found):
    """Requests for one small manifest, and a large blob, of each registry; then the memory that it took."""
    if bench.only and 'registry' not in bench.only:
        return
    blob = beside.work / 'blob'
    with open(blob, 'wb') as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    digest = subprocess.check_output(['sha256sum', blob], text=True).split()[0]
    tool = beside.run('wrk', '--version') is not None or shutil.which('wrk')
    for port, _ in found.values():
        base = f'http://127.0.0.1:{port}/v2/bench/blob/blobs'
        begun = beside.run('curl', '-sf', '-D', '-', '-o', '/dev/null', '-X', 'POST', '-H', 'Content-Length: 0', f'{base}/uploads/')
        place = next(line.split(': ', 1)[1].strip() for line in begun.splitlines() if line.lower().startswith('location:'))
        place = place if place.startswith('http') else f'http://127.0.0.1:{port}{place}'
        mark = '&' if '?' in place else '?'
        if beside.run('curl', '-sf', '-X', 'PUT', '-T', blob, '-H', 'Content-Type: application/octet-stream', f'{place}{mark}digest=sha256:{digest}') is None:
            raise RuntimeError('a blob cannot be pushed')
    blob.unlink()

    def requests(port):
        said = beside.run('wrk', '-t1', '-c16', '-d4s', f'http://127.0.0.1:{port}/v2/bench/small/manifests/1')
        return float(next(line.split()[1] for line in said.splitlines() if line.startswith('Requests/sec')))

    def throughput(port):
        url = f'http://127.0.0.1:{port}/v2/bench/blob/blobs/sha256:{digest}'
        return float(beside.run('curl', '-sf', '-o', '/dev/null', '-w', '%{speed_download}', url)) / (1 << 20)
    if tool:
        bench.compare('registry: manifest by tag (`wrk -t1 -c16 -d4s`)', {name: (lambda port=port: requests(port)) for name, (port, _) in found.items()}, n=3, unit='requests/s')
    bench.compare('registry: 100 MiB blob (`curl`)', {name: (lambda port=port: throughput(port)) for name, (port, _) in found.items()}, n=6, unit='MiB/s')
    peaks = {name: high_water_mib(process.pid) for name, (_, process) in found.items()}
    bench.rows.append(('registry: most memory after all of it', 'MiB', {name: {'n': 1, 'median': mib, 'min': mib} for name, mib in peaks.items()}))


def heavy_image(bench, wharf, work):
    """Rows about the image archive at $BIG_IMAGE (named big:latest inside, of 8 layers), such as mkbig.py writes, and about
    registries. With peers in namespaces of their own all of it, ours too, runs there: $PEER_ENTER is the command that enters
    them, $PEER_WORK a folder that lies on the same path on both sides."""
    archive = os.environ.get('BIG_IMAGE')
    if not archive or (bench.only and not any(word in bench.only for word in IMAGE_WORDS)):
        return
    beside = Beside(work)
    try:
        program = beside.work / 'wharf'
        shutil.copy(wharf, program)
        host = f'unix://{beside.work}/images.sock'
        flags = ['--data-root', beside.work / 'images', '--exec-root', beside.work / 'run', '--bridge', 'none', '--iptables=false', '--cgroup-parent', '/wharf-bench-images']
        daemon = beside.start(program, 'daemon', '-H', host, '--pidfile', beside.work / 'images.pid', *flags)
        engines = [Engine('wharf', [wharf], host)]
        if os.environ.get('PEER_DOCKER_HOST'):
            engines.append(Engine('docker', shlex.split(os.environ.get('PEER_DOCKER', 'docker')), os.environ['PEER_DOCKER_HOST']))
        wait_until('the daemon for images', lambda: not subprocess.run([*engines[0].client, 'version'], env=engines[0].env, stdout=NULL, stderr=NULL).returncode)
        copy = beside.work / 'big.tar'
        size = f'{os.stat(archive).st_size / (1 << 20):.0f} MiB'

        def each(prepare, words, between=lambda: None):
            def sample(engine):
                for line in prepare:
                    engine.cli(*line, check=False)
                between()
                os.sync()
                return ms(lambda: engine.cli(*words))
            return {engine.name: (lambda engine=engine: sample(engine)) for engine in engines}
        forget, load = ('rmi', '-f', 'big:latest'), ('load', '-q', '-i', archive)
        bench.compare(f'`load` of an image of 8 layers, {size}', each([forget], load), n=3)
        bench.compare('`save` of it', each([load], ('save', '-o', str(copy), 'big:latest')), n=3)
        copy.unlink(missing_ok=True)
        bench.compare('`rmi` of it', each([load], ('rmi', 'big:latest')), n=3)
        found = registries(beside, program)
        name, second, small = (f'127.0.0.1:5681/bench/{one}' for one in ('big:1', 'second:1', 'small:1'))
        for engine in engines:
            engine.cli(*load)
            engine.cli('tag', 'big:latest', name)
        engines[0].cli('push', '-q', name)
        # The same image with one file more: seven layers of it are there when the first one is, and the eighth.
        engines[0].cli('create', '--name', 'wharf-bench-second', 'big:latest', 'true')
        (beside.work / 'file').write_bytes(os.urandom(1 << 20))
        engines[0].cli('cp', str(beside.work / 'file'), 'wharf-bench-second:/file')
        engines[0].cli('commit', 'wharf-bench-second', second)
        engines[0].cli('rm', 'wharf-bench-second')
        engines[0].cli('push', '-q', second)
        for port, _ in found.values():
            engines[0].cli('tag', second, f'127.0.0.1:{port}/bench/small:1')
            engines[0].cli('push', '-q', f'127.0.0.1:{port}/bench/small:1')
            engines[0].cli('rmi', f'127.0.0.1:{port}/bench/small:1')
        engines[0].cli('rmi', second)
        # Daemons that live behind another network cannot come here.
        engines = [engine for engine in engines if engine.name == 'wharf' or subprocess.run([*engine.client, 'pull', '-q', name], env=engine.env, stdout=NULL, stderr=NULL).returncode == 0]
        bench.compare('cold `pull` of it, gzip, from a registry on this machine', each([forget, ('rmi', '-f', name)], ('pull', '-q', name)), n=3)
        bench.compare('`pull` of another one that has a layer more', each([('rmi', '-f', second), ('pull', '-q', name)], ('pull', '-q', second)), n=3)
        fresh = [0]

        def elsewhere(engine):
            # Another name for the registry's host has no repository to mount from.
            fresh[0] += 1
            there = f'localhost:5681/bench/fresh-{fresh[0]}:1'
            engine.cli('tag', name, there)
            subprocess.run(['rm', '-rf', *(beside.work / 'ours/docker/registry/v2').glob('*')], check=True)
            os.sync()
            taken = ms(lambda: engine.cli('push', '-q', there))
            engine.cli('rmi', there)
            return taken
        bench.compare('`push` of it where all is there', each([], ('push', '-q', name)), n=5)
        for engine in engines:
            engine.cli('rmi', '-f', second, check=False)
        registry_rows(bench, beside, found)
        bench.compare('`push` of it to an empty registry', {engine.name: (lambda engine=engine: elsewhere(engine)) for engine in engines}, n=3)
        peak = high_water_mib(daemon.pid)
        bench.rows.append(('most memory of the daemon after all of it', 'MiB', {'wharf': {'n': 1, 'median': peak, 'min': peak}}))
        for engine in engines:
            engine.cli('rmi', '-f', 'big:latest', name, check=False)
    finally:
        beside.stop()


def binary():
    if os.environ.get('WHARF'):
        return os.environ['WHARF']
    host = next(line.split()[1] for line in subprocess.check_output(['rustc', '-vV'], text=True).splitlines() if line.startswith('host:'))
    return str(ROOT / 'target' / host / 'release' / 'wharf')


def family(pid):
    """A process and all below it, and the zygote and supervisors that were its children."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            todo += [int(child) for task in os.listdir(f'/proc/{one}/task') for child in open(f'/proc/{one}/task/{task}/children').read().split()]
        except FileNotFoundError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--n', type=int, default=30)
    parser.add_argument('--only')
    parser.add_argument('--json', type=pathlib.Path)
    parser.add_argument('--only-images', action='store_true')
    arguments = parser.parse_args()
    bench = Bench(arguments)
    work = pathlib.Path(tempfile.mkdtemp(prefix='wharf-bench-', dir='/var/tmp'))
    # What is in /run on any host is in memory; /run of a container or a small machine may not be.
    run_root = pathlib.Path(tempfile.mkdtemp(prefix='wharf-bench-', dir='/dev/shm'))
    wharf, daemon = binary(), None
    host = f'unix://{work}/wharf.sock'
    command = ['unshare', '--net', '--', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh', wharf, 'daemon', '-H', host, '--data-root', f'{work}/data', '--exec-root', str(run_root)]

    def start():
        nonlocal daemon
        begin = time.perf_counter()
        daemon = subprocess.Popen(command, stdin=NULL, stdout=NULL, stderr=open(work / 'log', 'a'))
        while True:
            try:
                connection = Unix(f'{work}/wharf.sock')
                connection.call('GET', '/_ping')
                connection.close()
                return (time.perf_counter() - begin) * 1e3
            except (OSError, http.client.HTTPException):
                if time.perf_counter() - begin > 30:
                    raise RuntimeError('the daemon does not answer: ' + (work / 'log').read_text()[-500:])
                time.sleep(0.0005)

    def stop():
        daemon.terminate()
        daemon.wait()

    def report():
        print(f"\nMedian (minimum) of at least {arguments.n} samples, taken in turns; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs, Linux {os.uname().release}, {time.strftime('%Y-%m-%d')}.\n")
        print(bench.table())
        if arguments.json:
            arguments.json.write_text(json.dumps([{'what': w, 'unit': u, 'engines': r} for w, u, r in bench.rows], indent=1))

    try:
        if arguments.only_images:
            heavy_image(bench, wharf, work)
            report()
            return
        rootfs = work / 'rootfs.tar'
        with open(rootfs, 'wb') as file:
            subprocess.run([ROOT / 'scripts/busybox-rootfs.sh'], stdout=file, check=True)
        start()
        us = Engine('wharf', [wharf], host)
        engines = [us]
        if os.environ.get('PEER_DOCKER_HOST'):
            engines.append(Engine('docker', shlex.split(os.environ.get('PEER_DOCKER', 'docker')), os.environ['PEER_DOCKER_HOST']))
        if os.environ.get('PEER_PODMAN'):
            engines.append(Engine('podman', shlex.split(os.environ['PEER_PODMAN']), None))
        for engine in engines:
            with open(rootfs, 'rb') as file:
                subprocess.run([*engine.client, 'import', '-', 'busybox:latest'], env=engine.env, stdin=file, stdout=NULL, check=True)
        docker_client = Engine('wharf, docker client', [shutil.which('docker') or 'docker'], host)
        clients = engines + ([docker_client] if shutil.which('docker') else [])
        run = lambda engine, *extra: lambda: ms(lambda: engine.cli('run', '--rm', *extra, 'busybox', 'true'))
        bench.compare('`run --rm busybox true`, bridge network', {e.name: run(e) for e in clients})
        bench.compare('`run --rm --network none busybox true`', {e.name: run(e, '--network', 'none') for e in clients})
        with_api = [engine for engine in engines if engine.host]
        connections = {engine.name: engine.http() for engine in with_api}
        bench.compare('API create+start+wait+remove, one connection, no network', {name: (lambda c=c: ms(lambda: api_cycle(c))) for name, c in connections.items()}, n=max(arguments.n, 50))
        bench.compare('the same, after a second of silence', {name: (lambda c=c: silent(lambda: api_cycle(c))) for name, c in connections.items()}, n=min(arguments.n, 20))
        at_once = {engine.name: lambda engine=engine: ten_at_once(engine) for engine in with_api}
        bench.percentiles('the same, ten at once', at_once, rounds=max(arguments.n // 2, 10))
        network_rows(bench, connections)
        if not bench.only or any(word in bench.only for word in ('TCP', 'name')):
            hosts = {'wharf': daemon.pid}
            if os.environ.get('PEER_DOCKER_PIDS'):
                hosts['docker'] = os.environ['PEER_DOCKER_PIDS'].split(',')[-1]
            traffic_rows(bench, with_api, hosts)
        bench.compare('256 MiB of zeros through stdout and the log', {e.name: (lambda e=e: ms(lambda: zeros(e))) for e in engines}, n=3)
        for engine in engines:
            engine.cli('run', '-d', '--name', 'wharf-bench-target', '--network', 'none', 'busybox', 'sleep', '100000')
        bench.compare('API exec of true', {name: (lambda c=c: ms(lambda: api_exec(c, 'wharf-bench-target'))) for name, c in connections.items()})
        bench.compare('`exec` of true', {e.name: (lambda e=e: ms(lambda: e.cli('exec', 'wharf-bench-target', 'true'))) for e in clients})
        for engine in engines:
            engine.cli('rm', '-f', 'wharf-bench-target')

        def remove_fifty(engine):
            names = [f'wharf-bench-{number}' for number in range(50)]
            for name in names:
                engine.cli('run', '-d', '--name', name, 'busybox', 'sleep', '100000')
            # Podman's `rm -f` asks first and waits ten seconds; Docker's does not.
            unasked = ['-t', '0'] if engine.host is None else []
            return ms(lambda: engine.cli('rm', '-f', *unasked, *names))
        bench.compare('`rm -f` of 50 running containers', {e.name: (lambda e=e: remove_fifty(e)) for e in engines}, n=3)

        runtimes = {'wharf': [wharf, 'runtime']}
        for name in ('crun', 'runc'):
            if shutil.which(name):
                runtimes[name] = [name]
        for pair in filter(None, os.environ.get('PEER_RUNTIMES', '').split(',')):
            name, _, words = pair.partition('=')
            runtimes[name] = shlex.split(words)
        made, number = bundle(work, rootfs), [0]

        def run_bundle(words):
            number[0] += 1
            return ms(lambda: subprocess.run([*words, 'run', '--bundle', str(made), f'wharf-bench-{number[0]}'], stdin=NULL, stdout=NULL, check=True))
        functions = {}
        for name, words in runtimes.items():
            try:
                run_bundle(words)
                functions[name] = lambda words=words: run_bundle(words)
            except subprocess.CalledProcessError:
                print(f'{name} does not run here', file=sys.stderr)
        if os.environ.get('FLOOR'):  # a compiled floor.c: what the kernel alone costs
            functions['kernel floor'] = lambda: ms(lambda: subprocess.run([os.environ['FLOOR'], str(made / 'rootfs'), str(work / 'floor'), '1', 'once'], stdout=NULL, check=True))
            (work / 'floor').mkdir()
        bench.compare('OCI `run` of a bundle, whole process', functions)

        # Threads that have nothing to do go after two seconds.
        time.sleep(5)
        processes = family(daemon.pid)
        before = wake_ups(processes)
        idle = pss_kib(processes)
        time.sleep(10)
        ups = wake_ups(family(daemon.pid)) - before
        idle_row = {'wharf': {'n': 1, 'median': idle / 1024, 'min': idle / 1024}}
        if os.environ.get('PEER_DOCKER_PIDS'):
            peer = pss_kib(os.environ['PEER_DOCKER_PIDS'].split(',')) / 1024
            idle_row['docker'] = {'n': 1, 'median': peer, 'min': peer}
        bench.rows.append(('idle daemon and its helpers, PSS', 'MiB', idle_row))
        bench.rows.append(('wake-ups of the idle daemon in 10 s', 'times', {'wharf': {'n': 1, 'median': ups, 'min': ups}}))
        names = [f'wharf-bench-{turn}' for turn in range(50)]
        for name in names:
            us.cli('run', '-d', '--name', name, 'busybox', 'sleep', '100000')
        users = {int(us.cli('inspect', '-f', '{{.State.Pid}}', name)) for name in names}
        parents = {int(open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[1]) for pid in users}
        time.sleep(5)
        loaded = pss_kib(set(family(daemon.pid)) - users | parents)
        bench.rows.append(('50 running containers: what they add, PSS', 'MiB', {'wharf': {'n': 1, 'median': (loaded - idle) / 1024, 'min': (loaded - idle) / 1024}}))
        each = pss_kib(parents) / len(parents) / 1024
        bench.rows.append(('one supervisor of 50, PSS', 'MiB', {'wharf': {'n': 50, 'median': each, 'min': each}}))
        us.cli('rm', '-f', *names)
        stop()
        heavy_image(bench, wharf, work)

        def restart():
            took = start()
            stop()
            return took
        bench.compare('daemon start to first `_ping`', {'wharf': restart}, n=20)
        report()
    finally:
        if daemon and daemon.poll() is None:
            subprocess.run(f"DOCKER_HOST={host} {wharf} ps -aq | DOCKER_HOST={host} xargs -r {wharf} rm -f", shell=True, stdout=NULL, stderr=NULL)
            stop()
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(run_root, ignore_errors=True)


if __name__ == '__main__':
    main()

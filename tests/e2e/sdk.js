// Docker's Node SDK, unmodified: sdk.js SOCKET
const Docker = require('dockerode');
const assert = require('assert');
const { PassThrough } = require('stream');
const text = (stream) => new Promise((resolve, reject) => {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => resolve(Buffer.concat(parts)));
  stream.on('error', reject);
});
// Takes the frames of a stream apart: [stdout, stderr].
const apart = (docker, stream) => new Promise((resolve, reject) => {
  const out = new PassThrough(), err = new PassThrough();
  const both = Promise.all([text(out), text(err)]);
  docker.modem.demuxStream(stream, out, err);
  stream.on('end', () => { out.end(); err.end(); resolve(both.then((all) => all.map(String))); });
  stream.on('error', reject);
});
async function main() {
  const docker = new Docker({ socketPath: process.argv[2] });
  assert.equal((await docker.ping()).toString(), 'OK');
  assert.equal((await docker.version()).ApiVersion, '1.51');
  const events = await docker.getEvents({ filters: { type: ['container'], label: ['sdk=node'] } });
  const seen = [];
  events.on('data', (part) => part.toString().trim().split('\n').forEach((line) => seen.push(JSON.parse(line).Action)));
  const box = await docker.createContainer({
    Image: 'busybox', Cmd: ['sh', '-c', 'read line; echo got $line; echo err >&2; exit 3'], Labels: { sdk: 'node' },
    OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true, name: 'box',
  });
  const attached = await box.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const said = apart(docker, attached);
  const ended = box.wait({ condition: 'next-exit' });
  await box.start();
  attached.write('a word\n');
  attached.end();
  assert.deepEqual(await said, ['got a word\n', 'err\n']);
  assert.deepEqual(await ended, { StatusCode: 3 });
  const log = await box.logs({ stdout: true, stderr: true, follow: false });
  assert.ok(log.includes('got a word') && log.includes('err'), log.toString());
  await box.remove();
  const long = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'], Labels: { sdk: 'node' }, name: 'long' });
  await long.start();
  const exec = await long.exec({ Cmd: ['sh', '-c', 'echo in; echo bad >&2; exit 4'], AttachStdout: true, AttachStderr: true });
  assert.deepEqual(await apart(docker, await exec.start({ hijack: true, stdin: false })), ['in\n', 'bad\n']);
  assert.equal((await exec.inspect()).ExitCode, 4);
  const stats = await long.stats({ stream: false });
  assert.ok(stats.memory_stats.usage > 0 && stats.name === '/long', JSON.stringify(stats));
  const once = await new Promise(async (resolve) => (await long.stats({ stream: true })).once('data', function (part) { this.destroy(); resolve(part); }));
  assert.ok(JSON.parse(once).cpu_stats);
  assert.deepEqual((await docker.listContainers({ filters: { label: ['sdk=node'] } })).map((c) => c.Names[0]), ['/long']);
  await long.kill();
  assert.equal((await long.wait()).StatusCode, 137);
  await long.remove();
  await assert.rejects(docker.getContainer('long').inspect(), (error) => error.statusCode === 404 && /No such container: long/.test(error.message));
  for (const action of ['create', 'attach', 'start', 'die', 'destroy', 'kill', 'exec_die']) {
    for (let n = 0; n < 500 && !seen.includes(action); n++) await new Promise((go) => setTimeout(go, 20));
    assert.ok(seen.includes(action), `${action} is not among ${seen}`);
  }
  events.destroy();
  console.log('fine');
}
main().catch((error) => { console.error(error); process.exit(1); });

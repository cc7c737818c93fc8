// Roles and mocks alone: what they are given is checked before they say that they are ready, and whom they cannot reach is told.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { folder, lines, oneLine, run, start, until, went } from './support.mjs';

const { MOCK_ORCHESTRATOR: program } = process.env;
assert.ok(program, 'MOCK_ORCHESTRATOR must be the path of the built program');

// Nobody listens at port 1.
const RUNNER = ['runner', '--orchestrator', 'http://127.0.0.1:1', '--environment', 'e', '--environment-key', 'k'];
const GATEWAY = ['gateway', '--certs', 'c', '--any-address', '--route', 'a=http://127.0.0.1:1'];
const changed = (args, option, value) => args.map((arg, i) => (args[i - 1] === option ? value : arg));

// What it has said so far on standard output and standard error, as lines.
function listen(role) {
  const said = { out: '', err: '' };
  role.child.stdout.on('data', (d) => { said.out += d; });
  role.child.stderr.on('data', (d) => { said.err += d; });
  return { out: () => lines(said.out), err: () => lines(said.err) };
}

async function begin(t, args, options) {
  const role = start(args, options);
  const said = listen(role);
  t.after(() => role.child.kill('SIGKILL'));
  await until(() => said.out().length > 0, `${args[0]} is ready`);
  return { ...role, said, first: JSON.parse(said.out()[0]) };
}

const stop = (role) => (role.child.kill('SIGTERM'), role.ended);

for (const [args, says, options] of [
  [changed(RUNNER, '--orchestrator', 'http://localhost:8080'), /--orchestrator must be http:\/\/<ip>:<port>/],
  [changed(RUNNER, '--orchestrator', 'http://127.0.0.1'), /--orchestrator must be http:\/\/<ip>:<port>/],
  [['edge', '--certs', 'c', '--public', 'foo'], /^--public: "foo" is not a numeric address with a port, such as 127\.0\.0\.1:0$/m],
  [['edge', '--certs', 'c', '--connectors', '127.0.0.1'], /^--connectors: "127\.0\.0\.1" is not a numeric address/],
  [['edge', '--certs', 'c', '--entrance', 'localhost:1'], /^--entrance: "localhost:1" is not a numeric address/],
  [[...GATEWAY, '--edge', 'edge:7844'], /^--edge: "edge:7844" is not a numeric address/],
  [['--environment', 'a b'], /--environment: "a b" is no id/, { program }],
  [['--environment', 'a', '--environment-key', 'k', '--environment-key', 'l'], /--environment-key: given 2 times, --environment only 1/, { program }],
  [['--flight', '/dev/null'], /--flight \/dev\/null: Not a directory/, { program }],
  [['--flight', '/proc/f'], /--flight \/proc\/f: /, { program }],
]) {
  test(`refused: ${options ? 'mock-orchestrator ' : ''}${args.join(' ')}`, async (t) => {
    const r = await run(args, { cwd: folder(t), patience: 5000, ...options });
    went(r, 2);
    oneLine(r.stderr, says);
    assert.equal(r.stdout, '');
  });
}

test('an edge makes all certificates or none, and names the one that is missing; a gateway likewise', async (t) => {
  const cwd = folder(t);
  const edge = ['edge', '--certs', 'c', '--entrance', '127.0.0.1:0'];
  const gateway = [...GATEWAY, '--edge', '127.0.0.1:1'];
  await stop(await begin(t, edge, { cwd }));
  await stop(await begin(t, edge, { cwd }));
  for (const [args, names] of [[edge, ['outer-ca.pem', 'edge.pem', 'edge.key', 'client.pem', 'client.key', 'tunnel-ca.pem']],
    [gateway, ['outer-ca.pem', 'proxy-0.pem', 'proxy-0.key']]]) {
    for (const name of names) {
      const path = join(cwd, 'c', name);
      const kept = readFileSync(path);
      rmSync(path);
      const r = await run(args, { cwd, patience: 5000 });
      went(r, 2);
      oneLine(r.stderr, new RegExp(`^c/${name.replace('.', '\\.')}: is not there`));
      assert.ok(!existsSync(path), 'nothing was made');
      writeFileSync(path, kept);
    }
  }
  await stop(await begin(t, edge, { cwd }));
});

test('a runner says who refuses it and why, once, and when it is up', async (t) => {
  const cwd = folder(t);
  const orchestrator = (extra) => begin(t, ['--api-key', 'a', '--environment', 'e', '--environment-key', 'k', ...extra], { cwd, program });
  const there = await orchestrator([]);
  const url = there.first.listening;
  for (const [args, why] of [[changed(RUNNER, '--environment-key', 'wrong'), /^windtunnel runner: http:\S+: the key is not accepted \(status 401\); tries again$/m],
    [changed(RUNNER, '--environment', 'other'), /: (the key is not accepted \(status 40[13]\)|not known there \(status 404\)); tries again$/m]]) {
    const runner = await begin(t, changed(args, '--orchestrator', url), { cwd });
    await until(() => runner.said.err().length > 0, 'a reason');
    oneLine((await stop(runner)).stderr, why);
  }
  const runner = await begin(t, changed(RUNNER, '--orchestrator', url), { cwd });
  await until(() => runner.said.out().includes('{"connected":true}'), 'it is connected');
  await stop(there);
  await until(() => runner.said.err().length > 0, 'a reason');
  assert.match(runner.said.err()[0], /: nobody listens there; tries again$/m);
  await orchestrator(['--listen', url.slice('http://'.length)]);
  await until(() => runner.said.err().length > 1, 'it is up again', 60_000);
  const r = await stop(runner);
  assert.deepEqual(lines(r.stderr).slice(1), [`windtunnel runner: ${url}: up`]);
  assert.equal(lines(r.stdout).filter((line) => line === '{"connected":true}').length, 1);
});

test('a gateway likewise', async (t) => {
  const cwd = folder(t);
  const edge = await begin(t, ['edge', '--certs', 'c'], { cwd });
  const { connectors } = edge.first;
  const gateway = (extra) => begin(t, [...GATEWAY, '--edge', connectors, ...extra], { cwd });
  const wrong = await gateway(['--token-key', 'wrong']);
  await until(() => wrong.said.err().length > 0, 'a reason');
  oneLine((await stop(wrong)).stderr, /^windtunnel gateway: 127\.0\.0\.1:\d+: the key is not accepted \(status 401\); tries again$/m);
  /* With one that is up, none is about to be: in the midst of its TLS it would be told that that failed. */
  const right = await gateway(['--connections', '1']);
  await until(() => right.said.out().includes('{"connected":true}'), 'it is connected');
  edge.child.kill('SIGKILL');
  await until(() => right.said.err().length > 0, 'a reason');
  await begin(t, ['edge', '--certs', 'c', '--connectors', connectors], { cwd });
  await until(() => right.said.err().length > 1, 'it is up again', 60_000);
  const told = lines((await stop(right)).stderr);
  assert.match(told[0], /: nobody listens there; tries again$/m);
  assert.deepEqual(told.slice(1), [`windtunnel gateway: ${connectors}: up`]);
});

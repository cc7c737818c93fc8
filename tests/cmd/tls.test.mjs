// The control plane's API over TLS: in a live run always, and alone where it is given a certificate.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';

import { folder, live, oneLine, ready, run, scenario, sets, sleep, start, until, went } from './support.mjs';

const NAME = 'orchestrator.windtunnel';
const mock = { program: process.env.MOCK_ORCHESTRATOR };
const KEYS = ['--environment', 'env_x', '--environment-key', 'K2'];

// What a handshake comes to: the session, or the error that ended it.
async function handshake(host, port, options) {
  const socket = tls.connect({ host, port, servername: NAME, ...options });
  try {
    await once(socket, 'secureConnect');
    return { protocol: socket.getProtocol(), cert: socket.getPeerCertificate() };
  } catch (error) {
    return { error };
  } finally {
    socket.destroy();
  }
}

// Status and body of a GET; or the error.
const get = (url, options = {}) => new Promise((resolve) => {
  const request = (url.startsWith('https:') ? https : http).get(url, { agent: false, ...options }, (answer) => {
    let body = '';
    answer.on('data', (d) => { body += d; });
    answer.on('end', () => resolve({ status: answer.statusCode, body }));
  });
  request.on('error', (error) => resolve({ error }));
});

// Certificates as the edge makes them.
async function certificates(t, cwd) {
  const edge = start(['edge', '--certs', 'certs', '--entrance', '127.0.0.1:0'], { cwd });
  await ready(edge);
  edge.child.kill('SIGTERM');
  went(await edge.ended, 0);
  return { cert: 'certs/orchestrator.pem', key: 'certs/orchestrator.key', ca: 'certs/outer-ca.pem' };
}

test('in a run the control plane speaks TLS 1.3 and nothing else', async (t) => {
  const cwd = folder(t);
  const set = sets({ '/load/agents/rate': '3/s', '/objectives': [] });
  const { child, watched, witness } = live(cwd, [scenario('cold-start'), '--deployment', 'modal-warm', ...set, '--out', 'o']);
  const listener = () => (witness.look(), witness.listenersOf('orchestrator')[0]);
  await until(listener, 'the control plane listens');
  const { ip, port } = listener();
  const { protocol, cert } = await handshake(ip, port, { rejectUnauthorized: false });
  assert.equal(protocol, 'TLSv1.3');
  assert.match(cert.subjectaltname, new RegExp(`DNS:${NAME}`));
  assert.match((await handshake(ip, port, {})).error.code, /UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/, 'nobody signed it that others know');
  assert.match((await handshake(ip, port, { rejectUnauthorized: false, maxVersion: 'TLSv1.2' })).error.code, /PROTOCOL_VERSION|ECONNRESET/);
  const { error, status } = await get(`http://${ip}:${port}/v1/environments`);
  assert.ok(error, `a plain request gets no answer, not ${status}`);
  child.kill('SIGINT');
  went(await watched, 130);
  await witness.nothingIsLeft();
});

test('alone it serves https, to a runner that trusts its CA and to no other', async (t) => {
  const cwd = folder(t);
  const files = await certificates(t, cwd);
  const plane = start(['--listen', '127.0.0.1:0', '--api-key', 'K', ...KEYS, '--tls-cert', files.cert, '--tls-key', files.key],
    { cwd, ...mock });
  const { listening } = await ready(plane);
  assert.match(listening, /^https:\/\/127\.0\.0\.1:\d+$/);
  const ca = readFileSync(join(cwd, files.ca));
  const headers = { 'x-api-key': 'K', 'anthropic-version': '2023-06-01', 'anthropic-beta': 'managed-agents-2026-04-01' };
  const answer = await get(`${listening}/v1/environments`, { ca, headers });
  assert.equal(answer.status, 200, answer.error);
  assert.equal(JSON.parse(answer.body).data[0].id, 'env_x');

  const runner = (more) => start(['runner', '--orchestrator', listening, ...KEYS, ...more], { cwd });
  const one = runner(['--ca', files.ca]);
  let said = '';
  one.child.stdout.on('data', (d) => { said += d; });
  await until(() => said.includes('{"connected":true}'), 'the runner is connected');
  const stranger = runner(['--ca', 'certs/tunnel-ca.pem']);
  await sleep(2000);
  for (const role of [stranger, one, plane]) {
    role.child.kill('SIGTERM');
    went(await role.ended, 0);
  }
  assert.doesNotMatch((await stranger.ended).stdout, /connected/);
});

test('files that are none, or that do not belong together, are one clear line', async (t) => {
  const cwd = folder(t);
  const files = await certificates(t, cwd);
  const refused = async (args, options, pattern) => {
    const r = await run(args, { cwd, ...options });
    went(r, 2);
    oneLine(r.stderr, pattern);
    assert.equal(r.stdout, '');
  };
  await refused(['--tls-cert', files.cert], mock, /^mock-orchestrator: --tls-cert and --tls-key are given together$/m);
  await refused(['--tls-cert', 'none.pem', '--tls-key', files.key], mock, /^mock-orchestrator: --tls-cert none\.pem: No such file/);
  await refused(['--tls-cert', files.cert, '--tls-key', 'certs/edge.key'], mock, /^mock-orchestrator: --tls-cert .*: bad private key: /);
  const runner = ['runner', ...KEYS, '--orchestrator'];
  await refused([...runner, 'https://127.0.0.1:1', '--ca', 'none.pem'], {}, /^windtunnel runner: --ca: No such file/);
  await refused([...runner, 'https://127.0.0.1:1', '--ca', files.key], {}, /^windtunnel runner: --ca: bad CA certificate: /);
  await refused([...runner, 'http://127.0.0.1:1', '--ca', files.ca], {}, /^windtunnel runner: --ca is for /);
  await refused([...runner, 'ftp://127.0.0.1:1'], {}, /^windtunnel runner: --orchestrator must be http:/);
});

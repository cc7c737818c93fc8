// The official MCP client through entrance, edge and gateway, each a process of its own: the same exercise as directly.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startMock, until } from './support.mjs';

const { WINDTUNNEL, MOCK_MCP } = process.env;
assert.ok(WINDTUNNEL && MOCK_MCP, 'WINDTUNNEL and MOCK_MCP name the programs');
const here = path.dirname(fileURLToPath(import.meta.url));

// All are ended before one may complain: what is left running keeps Node alive.
const stop = async (programs) => {
  const ends = {};
  for (const [name, program] of Object.entries(programs).reverse()) ends[name] = await program.terminate();
  for (const [name, { code, signal }] of Object.entries(ends))
    assert.deepEqual([code, signal], [0, null], `${name}: ${programs[name].complaint()}`);
};

// Until a connection is registered, the edge knows no way into the tunnel: 502.
async function registered(edge) {
  const ask = () => new Promise((resolve) => {
    const request = http.get(edge.ready.listening, { headers: { Host: edge.ready.hosts[0] }, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode !== 502);
    });
    request.on('error', () => resolve(false));
  });
  await until('a tunnel connection', ask);
}

// The script's own exit code and what it said.
function runClient(env) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--test', path.join(here, 'mcp_client.test.mjs')], {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (text) => { said += text; });
    child.stderr.on('data', (text) => { said += text; });
    child.once('exit', (code) => resolve({ code, said }));
  });
}

test('an MCP client that knows no tunnels reaches a server behind one', { timeout: 150_000 }, async (t) => {
  const certs = await mkdtemp(path.join(tmpdir(), 'windtunnel-certs-'));
  t.after(() => rm(certs, { recursive: true }));

  const programs = {};
  try {
    const server = programs['mock-mcp'] = await startMock(MOCK_MCP, ['--listen', '127.0.0.1:0']);
    const upstream = server.ready.listening.replace(/\/mcp$/, '');
    const edge = programs.edge = await startMock(WINDTUNNEL, ['edge', '--certs', certs, '--entrance', '127.0.0.1:0', '--mcp',
      'search']);
    programs.gateway = await startMock(WINDTUNNEL, ['gateway', '--edge', edge.ready.connectors, '--certs', certs,
      '--any-address', '--route', `search=${upstream}`]);
    assert.equal(edge.ready.hosts.length, 1);
    await registered(edge);
    const client = await runClient({ MCP_TUNNEL_URL: `${edge.ready.listening}/mcp`, MCP_TUNNEL_HOST: edge.ready.hosts[0] });
    assert.equal(client.code, 0, client.said);
    assert.match(client.said, /skipped 0/);
  } finally {
    await stop(programs);
  }
});

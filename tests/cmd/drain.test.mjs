// An edge and a gateway alone that are told to stop: what is under way ends, nothing new comes in, and that has a limit.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { describe, test } from 'node:test';

import { folder, ready, sleep, start, went } from './support.mjs';

// A server whose answer to /slow comes after 1 s, and to /never does not come.
async function upstream(t) {
  const server = http.createServer((request, answer) => {
    if (request.url === '/slow') setTimeout(() => answer.end('at last'), 1000);
    else if (request.url !== '/never') answer.end('at once');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}`;
}

const ask = (entrance, host, path) => new Promise((resolve) => {
  const request = http.get(entrance + path, { headers: { Host: host }, agent: false }, (answer) => {
    let body = '';
    answer.on('data', (d) => { body += d; });
    answer.on('end', () => resolve([answer.statusCode, body]));
    answer.on('error', (e) => resolve([0, e.code]));
  });
  request.on('error', (e) => resolve([0, e.code]));
});

// A tunnel of an edge and a gateway that is connected, with what one needs to ask through it.
async function tunnel(t, grace) {
  const cwd = folder(t);
  const url = await upstream(t);
  const edge = start(['edge', '--certs', 'certs', '--entrance', '127.0.0.1:0', '--mcp', 'search', '--grace', grace], { cwd });
  const { listening, connectors, hosts } = await ready(edge);
  const gateway = start(['gateway', '--edge', connectors, '--certs', 'certs', '--any-address', '--route', `search=${url}`,
    '--grace', grace], { cwd });
  const get = (path) => ask(listening, hosts[0], path);
  await ready(gateway);
  while ((await get('/'))[0] !== 200) await sleep(50);
  return { edge, gateway, get };
}

async function endsWithin(role, ms) {
  const at = Date.now();
  went(await role.ended, 0);
  assert.ok(Date.now() - at < ms, `${Date.now() - at} ms`);
}

describe('told to stop', { concurrency: true, timeout: 60_000 }, () => {

test('a gateway lets its streams end, takes no new ones, and goes', async (t) => {
  const { edge, gateway, get } = await tunnel(t, '30');
  const slow = get('/slow');
  await sleep(200);
  gateway.child.kill('SIGTERM');
  await sleep(200);
  assert.equal((await get('/'))[0], 502);
  assert.deepEqual(await slow, [200, 'at last']);
  await endsWithin(gateway, 5000);
  edge.child.kill('SIGTERM');
  await endsWithin(edge, 5000);
});

test('an edge does likewise, and its gateway outlives it', async (t) => {
  const { edge, gateway, get } = await tunnel(t, '30');
  const slow = get('/slow');
  await sleep(200);
  edge.child.kill('SIGTERM');
  await sleep(200);
  assert.equal((await get('/'))[0], 502);
  assert.deepEqual(await slow, [200, 'at last']);
  await endsWithin(edge, 5000);
  gateway.child.kill('SIGTERM');
  await endsWithin(gateway, 5000);
});

for (const name of ['gateway', 'edge']) {
  test(`a stream that does not end is cut when the grace of the ${name} is over`, async (t) => {
    const roles = await tunnel(t, '1');
    const never = roles.get('/never');
    await sleep(200);
    const at = Date.now();
    roles[name].child.kill('SIGTERM');
    await endsWithin(roles[name], 5000);
    assert.ok(Date.now() - at >= 950, `${Date.now() - at} ms`);
    assert.notEqual((await never)[0], 200);
    const other = roles[name === 'edge' ? 'gateway' : 'edge'];
    other.child.kill('SIGTERM');
    await endsWithin(other, 5000);
  });
}

test('a second signal does not wait', async (t) => {
  const { edge, gateway, get } = await tunnel(t, '30');
  const never = get('/never');
  await sleep(200);
  gateway.child.kill('SIGTERM');
  await sleep(300);
  gateway.child.kill('SIGTERM');
  await endsWithin(gateway, 5000);
  assert.notEqual((await never)[0], 200);
  edge.child.kill('SIGTERM');
  await endsWithin(edge, 5000);
});

});

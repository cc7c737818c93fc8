// Everything that breaks, live, against the virtual run of the same scenario and seed: what is lost, failed or made again
// is the same but for what was on its way at that moment; the books balance; every log replays; nothing is left behind.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { folder, live, readResult, run, sets, went } from './support.mjs';

const SCENARIO = fileURLToPath(new URL('faults.json', import.meta.url));
/* Whatever else the machine does makes a live run later, and what is on its way when something breaks another: one run in
   so many must agree with the model. The books must balance in each. */
const TRIES = 3;

/* No session arrives at the moments at which something breaks. */
const kill = (target, at = '1900ms', length = '500ms') => ({ kind: 'kill', at, ...(length ? { for: length } : {}), target });
const link = (kind, name, more = {}) => ({ kind, at: '1900ms', for: '500ms', link: name, ...more });
const answer = (target, status, more = {}) => ({ kind: 'answer', at: '900ms', for: '1100ms', target, status, share: '40%', ...more });

function checkBooks(result) {
  assert.equal(result.ledger.verdict, 'balanced');
  assert.equal(result.flows_balanced, true, JSON.stringify(result.flows));
  assert.deepEqual(result.invalid_reasons, []);
  assert.equal(result.metrics['session.total'].count, result.ledger.accounts.session.completed);
  assert.equal(result.counters.hash_mismatches ?? 0, 0);
  assert.equal(result.counters.protocol_violations ?? 0, 0);
}

const FIELDS = ['opened', 'completed', 'failed', 'shed', 'lost', 'in_flight'];
// How far a live run may be from its model: exactly the same sessions, turns and calls, unless a case says otherwise.
// Attempts that were on their way, and what hangs on them, differ by a few.
const CLOSE = { session: 0, turn: 0, call: 0, attempt: 4, result: 3, connection: 1, stream: 12, work: 0 };

function differences(real, model, close) {
  const found = [];
  for (const [account, room] of Object.entries({ ...CLOSE, ...close })) {
    for (const field of FIELDS) {
      const [a, b] = [real, model].map((r) => r.ledger.accounts[account][field]);
      if (Math.abs(a - b) > room) found.push(`${account}.${field}: ${a} live, ${b} virtual`);
    }
  }
  for (const counter of ['role_restarts']) {
    const [a, b] = [real, model].map((r) => r.counters[counter] ?? 0);
    if (a !== b) found.push(`${counter}: ${a} live, ${b} virtual`);
  }
  return found;
}

async function runLive(dir, args, code) {
  const out = `live-${readdirSync(dir).length}`;
  const { ended, witness, watched } = live(dir, [...args, '--out', out, '--flight', `${out}-flight`]);
  went(await ended, code);
  await watched;
  await witness.nothingIsLeft();
  const result = readResult(join(dir, out), 'default');
  checkBooks(result);
  const replayed = await run(['replay', `${out}-flight`], { cwd: dir });
  went(replayed, 0);
  return { result, logs: readdirSync(join(dir, `${out}-flight`)) };
}

// Runs the scenario with these faults on both clocks and compares.
async function both(t, faults, { set = {}, close = {}, code = 0, check = () => {}, logs = [] } = {}) {
  const dir = folder(t);
  const args = [SCENARIO, '--progress', 'none', ...sets({ '/faults': faults, ...set })];
  went(await run(['run', ...args, '--clock', 'virtual', '--out', 'virtual'], { cwd: dir }), code);
  const model = readResult(join(dir, 'virtual'), 'default');
  checkBooks(model);
  check(model, 'virtual');
  for (let left = TRIES; ; left--) {
    const real = await runLive(dir, args, code);
    for (const log of logs) assert.ok(real.logs.includes(log), `${log} in ${real.logs}`);
    const found = differences(real.result, model, close);
    if (found.length === 0) {
      check(real.result, 'live');
      return;
    }
    t.diagnostic(found.join('; '));
    if (left === 1) assert.fail(found.join('\n'));
  }
}

const completed = (result, account = 'session') =>
  assert.equal(result.ledger.accounts[account].completed, result.ledger.accounts[account].opened, account);
const allDone = (result) => ['session', 'turn', 'call'].forEach((account) => completed(result, account));
const lost = (result, account) => result.ledger.accounts[account].lost;

// Kills
// ----------------------------------------------------------------------------------------------------------

test('a durable orchestrator comes back: no call is lost', (t) => both(t, [kill('orchestrator')], {
  check: allDone, logs: ['orchestrator.0.flight', 'orchestrator.1.flight'] }));

test('… twice, and from a kill before it was up again', (t) =>
  both(t, [kill('orchestrator', '900ms'), kill('orchestrator', '1405ms', '300ms'), kill('orchestrator', '2900ms')], {
    close: { attempt: 6, result: 6, stream: 16 },
    logs: ['orchestrator.0.flight', 'orchestrator.2.flight'],
    check: (r) => {
      allDone(r);
      assert.equal(r.counters.role_restarts, 3);
    } }));

test('… and stays away while another kill lasts', (t) =>
  both(t, [kill('orchestrator', '900ms'), kill('orchestrator', '1200ms', '600ms')], {
    check: (r) => {
      allDone(r);
      assert.equal(r.counters.role_restarts, 1);
    } }));

test('… and may be away for good: what it kept is where it was', (t) => both(t, [kill('orchestrator', '1900ms', null)], {
  set: { '/drain': '2s' }, close: { session: 1, turn: 1, call: 3 },
  check: (r) => assert.ok(r.ledger.accounts.call.in_flight > 0 && lost(r, 'call') === 0) }));

test('an orchestrator that keeps nothing loses its sessions, and its clients cope', (t) =>
  both(t, [kill('orchestrator')], {
    set: { '/orchestrator/durable': false },
    close: { session: 2, turn: 2, call: 16, attempt: 10, result: 10, work: 2 },
    check: (r) => assert.ok(lost(r, 'call') > 0 && r.ledger.accounts.session.in_flight === 0) }));

test('the edge is killed: every connection is dialed again', (t) => both(t, [kill('edge')], {
  check: (r) => {
    allDone(r);
    assert.equal(lost(r, 'connection'), 8);
  } }));

test('a gateway is killed within its process', (t) => both(t, [kill('gateway/1')], {
  check: (r) => {
    allDone(r);
    assert.equal(lost(r, 'connection'), 2);
  } }));

test('a gateway is killed with its process', (t) => both(t, [kill('gateway/1')], {
  set: { '/live/gateway_processes': 0 }, logs: ['gateway-1.0.flight', 'gateway-1.1.flight'],
  check: (r) => {
    allDone(r);
    assert.equal(lost(r, 'connection'), 2);
  } }));

test('half a gateway is down while its process is killed', (t) =>
  both(t, [kill('connector/1', '1s', '2s'), kill('gateway/0-3', '1400ms')], {
    close: { call: 2, attempt: 8 }, check: (r) => assert.equal(lost(r, 'connection'), 8) }));

test('a runner is killed: its leases lapse and another takes over', (t) => both(t, [kill('runner/0', '1900ms', '1500ms')], {
  close: { result: 4 },
  check: (r) => {
    allDone(r);
    assert.ok(r.counters.work_requeued > 0 && lost(r, 'sandbox') > 0);
  } }));

test('a runner is killed with its process', (t) => both(t, [kill('runner/0', '1900ms', '1500ms')], {
  set: { '/live/runner_processes': 0 }, close: { result: 4 }, logs: ['runner-0.0.flight', 'runner-0.1.flight'],
  check: (r) => {
    allDone(r);
    assert.ok(r.counters.work_requeued > 0 && lost(r, 'sandbox') > 0);
  } }));

test('an MCP server is killed: calls fail upstream and are made again', (t) => both(t, [kill('mcp/search')], {
  check: (r) => {
    allDone(r);
    assert.equal(r.ledger.accounts.attempt.failed, r.counters.http_5xx);
    assert.ok(r.counters.http_5xx > 0 && lost(r, 'connection') === 0);
  } }));

test('an MCP server is killed for good', (t) => both(t, [kill('mcp/search', '2900ms', null)], {
  set: { '/orchestrator/mcp/retry/attempts': 2 }, close: { call: 2, attempt: 6 },
  check: (r) => {
    completed(r);
    assert.ok(r.ledger.accounts.call.failed > 0);
  } }));

// Links
// ----------------------------------------------------------------------------------------------------------

const LINKS = ['client-orchestrator', 'runner-orchestrator', 'orchestrator-edge', 'connector-edge', 'proxy-mcp'];

for (const name of LINKS) {
  test(`cut ${name}`, (t) => both(t, [link('cut', name)], {
    close: { connection: 2 },
    check: (r) => {
      allDone(r);
      if (name === 'connector-edge') assert.equal(lost(r, 'connection'), 8);
      if (name === 'orchestrator-edge') assert.ok(lost(r, 'attempt') > 8);
      if (name === 'proxy-mcp') assert.ok(r.ledger.accounts.attempt.failed > 8);
    } }));

  test(`stall ${name}`, (t) => both(t, [link('stall', name, { for: '700ms' })], {
    close: { result: 4 },
    check: (r) => {
      allDone(r);
      assert.equal(lost(r, 'connection'), 0);
      const held = { 'client-orchestrator': 'event.delivery', 'runner-orchestrator': 'tool.call' }[name] ?? 'mcp.call';
      assert.ok(r.metrics[held].max_ns > 600e6, `${held} ${r.metrics[held].max_ns}`);
    } }));
}

test('delay: everything is later', (t) =>
  both(t, LINKS.map((name) => link('delay', name, { at: '1s', for: '2s', delay: '40ms' })), {
    close: { attempt: 6 },
    check: (r) => {
      allDone(r);
      for (const [metric, least] of [['event.delivery', 15e6], ['tool.call', 130e6], ['mcp.call', 140e6]])
        assert.ok(r.metrics[metric].mean_ns > least, `${metric} ${r.metrics[metric].mean_ns}`);
    } }));

test('half-open client-orchestrator: who waits for an answer waits on', (t) =>
  both(t, [link('half-open', 'client-orchestrator', { for: '1s' })], {
    set: { '/drain': '3s' }, close: { session: 3, turn: 3, call: 18, attempt: 10, result: 10, work: 3 } }));

test('half-open runner-orchestrator: leases lapse', (t) =>
  both(t, [link('half-open', 'runner-orchestrator', { for: '2s' })], {
    close: { result: 5, attempt: 6 },
    check: (r) => {
      allDone(r);
      assert.ok(r.counters.work_requeued > 0);
    } }));

test('half-open orchestrator-edge: attempts time out', (t) =>
  both(t, [link('half-open', 'orchestrator-edge', { for: '2s' })], {
    check: (r) => {
      allDone(r);
      assert.ok(r.counters.timeouts > 0);
    } }));

test('half-open connector-edge: pings find it out', (t) =>
  both(t, [link('half-open', 'connector-edge', { for: '1500ms' })], {
    set: { '/tunnels/detect': '1s' }, close: { call: 10, attempt: 60, stream: 60, connection: 4 },
    check: (r) => {
      completed(r);
      assert.equal(lost(r, 'connection'), 8);
      assert.ok(r.counters.timeouts >= 8);
    } }));

test('half-open proxy-mcp: attempts time out', (t) => both(t, [link('half-open', 'proxy-mcp', { for: '2s' })], {
  check: (r) => {
    allDone(r);
    assert.ok(r.counters.timeouts > 0);
  } }));

test('rate: what is sent takes its time', (t) =>
  both(t, [link('rate', 'proxy-mcp', { at: '1s', for: '3s', rate: '8kB/s' })], {
    check: (r) => {
      allDone(r);
      assert.ok(r.metrics['mcp.call'].mean_ns > 90e6, `${r.metrics['mcp.call'].mean_ns}`);
    } }));

test('rate: all connections of a link share it', (t) =>
  both(t, [link('rate', 'runner-orchestrator', { at: '1s', for: '2s', rate: '16kB/s', target: 'runner/*' })], {
    close: { result: 12, attempt: 6 },
    check: (r) => {
      allDone(r);
      assert.ok(r.metrics['tool.call'].mean_ns > 85e6, `${r.metrics['tool.call'].mean_ns}`);
    } }));

test('a fault of one instance leaves the others alone', (t) =>
  both(t, [link('cut', 'connector-edge', { target: 'connector/2' })], {
    check: (r) => {
      allDone(r);
      assert.equal(lost(r, 'connection'), 2);
    } }));

test('relayed links are as long as the scenario says', (t) => both(t, [], {
  set: {
    '/live/relay': true, '/links/orchestrator-edge/latency': '10ms', '/links/connector-edge/latency': '12ms',
    '/links/connector-proxy/latency': '3ms', '/links/proxy-mcp/latency': '7ms',
    '/links/client-orchestrator/latency': '5ms', '/links/runner-orchestrator/latency': '8ms' },
  check: (r) => {
    allDone(r);
    const least = 2 * (10e6 + 12e6 + 3e6 + 7e6) + 30e6;
    assert.ok(r.metrics['mcp.call'].min_ns >= least, `mcp.call ${r.metrics['mcp.call'].min_ns}`);
    assert.ok(r.metrics['mcp.call'].mean_ns < least + 60e6, `mcp.call ${r.metrics['mcp.call'].mean_ns}`);
    assert.ok(r.metrics['event.delivery'].min_ns >= 5e6, `event.delivery ${r.metrics['event.delivery'].min_ns}`);
  } }));

// Answers, workers
// ----------------------------------------------------------------------------------------------------------

for (const [status, more] of [[429, { retry_after: '1s' }], [503, {}], [500, {}]]) {
  test(`the orchestrator and an MCP server answer ${status}`, (t) =>
    both(t, [answer('orchestrator', status, more), answer('mcp/search', status, { ...more, at: '2s' })], {
      close: { session: 2, turn: 2, call: 12, attempt: 16, result: 14, work: 2 },
      check: (r, clock) => {
        /* A worker that never got its result through holds on to the session. */
        assert.ok(lost(r, 'session') === 0 && r.ledger.accounts.session.completed >= 19);
        const { failed } = r.ledger.accounts.attempt;
        assert.ok(failed > 4);
        const told = r.counters[status === 429 ? 'http_429' : 'http_5xx'];
        if (clock === 'live')
          assert.equal(told, failed + r.counters.faults_injected - 2); /* those of the orchestrator */
        else
          assert.equal(told, failed);
        assert.ok(r.counters.faults_injected > 20 && r.counters.retries > failed);
        /* What was told to wait did so. */
        if (status === 429) assert.ok(r.metrics['mcp.call'].max_ns > 1e9);
      } }));
}

test('workers vanish after they acknowledged', (t) =>
  both(t, [{ kind: 'worker-crash', at: '1900ms', target: 'runner/0', count: 3 }], {
    check: (r) => {
      allDone(r);
      assert.equal(r.counters.faults_injected, 4);
      assert.equal(r.counters.work_requeued, 3);
    } }));

// Verdicts
// ----------------------------------------------------------------------------------------------------------

test('an objective that a fault breaks, on both clocks', (t) => both(t, [kill('mcp/search')], {
  set: { '/objectives': ['count(retries) == 0'] }, code: 1,
  check: (r) => assert.equal(r.objectives[0].met, false) }));

test('an objective that survives it', (t) => both(t, [kill('mcp/search')], {
  set: { '/objectives': ['count(retries) > 0', 'ratio(session.completed) == 100%', 'max(mcp.call) < 4s'] },
  check: (r) => assert.ok(r.objectives.every((o) => o.met === true)) }));

test('a client that makes refused requests again on its own breaks the run', async (t) => {
  const dir = folder(t);
  const args = ['run', SCENARIO, '--progress', 'none', ...sets({ '/faults': [answer('orchestrator', 503)] })];
  went(await run([...args, '--out', 'normal'], { cwd: dir }), 0);
  const planted = spawnSync(process.env.WINDTUNNEL_PLANTED, [...args, '--out', 'planted'], { cwd: dir, encoding: 'utf8' });
  went({ ...planted, code: planted.status }, 4);
  assert.match(planted.stdout, /messages were lost or doubled/);
  assert.equal(readResult(join(dir, 'planted'), 'default').flows_balanced, false);
  assert.equal(readResult(join(dir, 'planted'), 'default').ledger.verdict, 'balanced');
});

// Everything that breaks, live and virtual. However slow the machine is, the books balance, every log replays, nothing is
// left behind. Where it had the time, a live run is compared with the virtual one of the same scenario and seed: what is
// lost, failed or made again is the same but for what was on its way at that moment.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { SANITIZED, folder, live, readResult, run, sets, went } from './support.mjs';

const SCENARIO = fileURLToPath(new URL('faults.json', import.meta.url));
/* What is on its way at a moment hangs on milliseconds. A live run that says itself that its load or a timer came late has
   measured the machine: it is made again, so many times at most. Nothing else is a reason to try again. A run that has the
   machine to itself is late by 50 ms, five of them by 90; a sanitized build always, so it makes one run and compares none. */
const TIMER_LATE_NS = 100e6;
const RUNS_MAX = SANITIZED ? 1 : 4;
/* A run mostly waits. Each has a folder, an address and processes of its own. */
const CONCURRENCY = 5;
const LOOK_MS = 300;
/* Met, missed, late: a run that came to its end. */
const VERDICTS = [0, 1, 3];

/* No session arrives at the moments at which something breaks. */
const kill = (target, at = '1900ms', length = '500ms') => ({ kind: 'kill', at, ...(length ? { for: length } : {}), target });
const link = (kind, name, more = {}) => ({ kind, at: '1900ms', for: '500ms', link: name, ...more });
const answer = (target, status, more = {}) => ({ kind: 'answer', at: '900ms', for: '1100ms', target, status, share: '40%', ...more });

function checkBooks(result) {
  assert.equal(result.ledger.verdict, 'balanced');
  assert.equal(result.flows_balanced, true, JSON.stringify(result.flow_links.filter((way) => !way.balanced)));
  assert.equal(result.metrics['session.total'].count, result.ledger.accounts.session.completed);
  assert.equal(result.counters.hash_mismatches ?? 0, 0);
  assert.equal(result.counters.protocol_violations ?? 0, 0);
  assert.ok(result.counters.cpu_ns > 0);
}

const FIELDS = ['opened', 'completed', 'failed', 'shed', 'lost', 'in_flight'];
const vain = (model) => model.ledger.accounts.attempt.failed + model.ledger.accounts.attempt.lost;

// How far a live run may be from its model, by account: a number for all of its fields, or one by field. Sessions, turns,
// calls and work are the same, one by one, unless a case says otherwise and why.
function rooms(model, close) {
  /* Who is refused asks again after 100 to 500 ms, and a live run is later by what the machine takes: it may have been one
     more or one fewer of those that were on their way at that moment, and for each that was made in vain for one call
     there may be another. What was made in the end is the same. */
  const again = 4 + vain(model);
  return {
    session: 0, turn: 0, call: 0, work: 0,
    attempt: { opened: again, completed: close.call ?? 0, failed: again, lost: again, in_flight: close.call ?? 0 },
    /* Results that were on their way are posted again; and a session may be over before the answer to the last is there. */
    result: { opened: 3, completed: 2 + (close.call ?? 0), failed: 3, lost: 3 },
    /* A dial that came just before its peer was there again is made once more, by each of the eight. */
    connection: { opened: 8, failed: 8 },
    /* Each attempt takes a tunnel stream from the pool, or opens one. */
    stream: 8 + again,
  };
}

const roomOf = (room, field) => typeof room === 'number' ? room : room[field] ?? 0;

function differences(real, model, close) {
  const found = [];
  for (const [account, room] of Object.entries({ ...rooms(model, close), ...close })) {
    for (const field of FIELDS) {
      const [a, b] = [real, model].map((r) => r.ledger.accounts[account][field]);
      if (Math.abs(a - b) > roomOf(room, field)) found.push(`${account}.${field}: ${a} live, ${b} virtual`);
    }
  }
  const [a, b] = [real, model].map((r) => r.counters.role_restarts ?? 0);
  if (a !== b) found.push(`role_restarts: ${a} live, ${b} virtual`);
  return found;
}

// Why the run says more about the machine than about what it ran; or null.
function lateness({ invalid_reasons: reasons, metrics: { 'timer.lag': timers } }) {
  assert.ok(reasons.every((reason) => /schedule\.lag/.test(reason)), reasons.join());
  if (SANITIZED) return 'a sanitized build is slow';
  return reasons[0] ?? (timers.max_ns > TIMER_LATE_NS ? `a timer was ${timers.max_ns / 1e6} ms late` : null);
}

// A live run with all that holds for each, late or not. `name` is its own in `dir`.
async function runLive(dir, name, args) {
  const { watched, witness } = live(dir, [...args, '--out', name, '--flight', `${name}-flight`], { every: LOOK_MS });
  const ended = await watched;
  if (!VERDICTS.includes(ended.code)) went(ended, VERDICTS.join());
  await witness.nothingIsLeft();
  const result = readResult(join(dir, name), 'default');
  checkBooks(result);
  went(await run(['replay', `${name}-flight`], { cwd: dir }), 0);
  return { ended, result, late: lateness(result), logs: readdirSync(join(dir, `${name}-flight`)) };
}

// Runs the scenario with these faults on both clocks and compares.
async function both(t, faults, { set = {}, close = {}, code = 0, check = () => {}, logs = [] } = {}) {
  const dir = folder(t);
  const args = [SCENARIO, '--progress', 'none', ...sets({ '/faults': faults, ...set })];
  went(await run(['run', ...args, '--clock', 'virtual', '--out', 'virtual'], { cwd: dir }), code);
  const model = readResult(join(dir, 'virtual'), 'default');
  checkBooks(model);
  check(model, 'virtual');
  let real;
  for (let i = 0; i < RUNS_MAX && (i === 0 || real.late); i++) {
    real = await runLive(dir, `live-${i}`, args);
    if (real.late) t.diagnostic(real.late);
  }
  for (const log of logs) assert.ok(real.logs.includes(log), `${log} in ${real.logs}`);
  /* The books are right then; of what it counts nothing is said. */
  if (real.late) return SANITIZED || t.skip(real.late);
  went(real.ended, code);
  assert.deepEqual(differences(real.result, model, close), []);
  check(real.result, 'live');
}

const completed = (result, account = 'session') =>
  assert.equal(result.ledger.accounts[account].completed, result.ledger.accounts[account].opened, account);
const allDone = (result) => ['session', 'turn', 'call'].forEach((account) => completed(result, account));
const EXECUTION = '/scripts/work/turns/0/steps/0/calls/0/execution';
const lost = (result, account) => result.ledger.accounts[account].lost;

describe('faults', { concurrency: CONCURRENCY }, () => {

// Kills
// ----------------------------------------------------------------------------------------------------------

test('a durable orchestrator comes back: no call is lost', (t) => both(t, [kill('orchestrator')], {
  check: allDone, logs: ['orchestrator.0.flight', 'orchestrator.1.flight'] }));

test('… three times', (t) =>
  both(t, [kill('orchestrator', '900ms'), kill('orchestrator', '1900ms', '300ms'), kill('orchestrator', '2900ms')], {
    /* A worker posts a result again for as long as its lease may last: here that is longer than any two kills take, which
       may be all of a result's first tries. */
    set: { '/orchestrator/lease_ttl': '3s' },
    /* Each of the three may meet three that are on their way. */
    close: { attempt: { opened: 9, failed: 4, lost: 9 }, result: { opened: 9, completed: 6, failed: 9, lost: 9 } },
    logs: ['orchestrator.0.flight', 'orchestrator.1.flight', 'orchestrator.3.flight'],
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
  /* It keeps what was under way: what that was at that moment differs. */
  set: { '/drain': '2s' }, close: { session: 2, turn: 2, call: 6, work: 2 },
  check: (r) => assert.ok(r.ledger.accounts.call.in_flight > 0 && lost(r, 'call') === 0) }));

test('an orchestrator that keeps nothing loses its sessions, and its clients cope', (t) =>
  both(t, [kill('orchestrator')], {
    set: { '/orchestrator/durable': false },
    /* Each session that was under way loses all of its calls, and is begun anew. */
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

test('a proxy is killed within its process, its connector lives', (t) => both(t, [kill('proxy/*')], {
  check: (r) => {
    allDone(r);
    assert.equal(lost(r, 'connection'), 0);
    assert.ok(lost(r, 'attempt') + r.ledger.accounts.attempt.failed > 4);
  } }));

test('half a gateway is down while its process is killed', (t) =>
  both(t, [kill('connector/1', '1s', '2s'), kill('gateway/0-3', '1400ms')], {
    set: { '/orchestrator/mcp/retry/attempts': 12 }, /* whose tunnel is down for two seconds asks that often */
    check: (r) => {
      allDone(r);
      assert.equal(lost(r, 'connection'), 8);
    } }));

const restart = (target) => ({ kind: 'restart', at: '1500ms', for: '500ms', target });
const GRACE = { '/tunnels/grace': '500ms' };

test('a gateway is restarted in order: its tunnel takes no new streams, then it dies', (t) => both(t, [restart('gateway/1')], {
  set: GRACE,
  check: (r) => {
    allDone(r);
    assert.equal(r.counters.role_restarts, 2);
    /* From the word to the new registration. */
    assert.ok(r.metrics['tunnel.usable'].max_ns > 1.09e9 && r.metrics['tunnel.usable'].max_ns < 2e9, `${r.metrics['tunnel.usable'].max_ns}`);
  } }));

test('… with its process, and another replica takes over meanwhile', (t) => both(t, [restart('gateway/2')], {
  set: { ...GRACE, '/tunnels/replicas': 2, '/live/gateway_processes': 0 }, logs: ['gateway-2.0.flight', 'gateway-2.1.flight'],
  check: (r) => {
    allDone(r);
    assert.equal(r.metrics['tunnel.usable']?.count ?? 0, 0);
    assert.equal(r.ledger.accounts.stream.failed, 0);
  } }));

test('the edge is restarted in order: connections without streams end, the others when it dies', (t) => both(t, [restart('edge')], {
  set: { ...GRACE, '/orchestrator/mcp/retry/attempts': 20 }, /* without an edge for up to three seconds, calls ask that often */
  /* Whether a connection has a stream at the moment at which the edge dies differs. */
  close: { connection: { opened: 8, failed: 8, completed: 2, lost: 2 } },
  check: (r) => {
    allDone(r);
    assert.equal(r.counters.role_restarts, 1);
    assert.ok(r.ledger.accounts.connection.completed + lost(r, 'connection') === 8);
    assert.ok(r.metrics['tunnel.usable'].count >= 4);
  } }));

for (const [what, set, logs] of [
  ['within the process of both', {}, []],
  ['with its process', { '/live/runner_processes': 0 }, ['runner-0.0.flight', 'runner-0.1.flight']],
]) {
  test(`a runner is killed ${what}: its leases lapse and another takes over`, (t) => {
    let billed;
    return both(t, [kill('runner/0', '1900ms', '1500ms')], {
      /* Long enough for all of its sessions to be in a call; and much runs that has not ended when it is killed. */
      set: { [EXECUTION]: '400ms', '/runners/pool/prewarmed': 10, '/runners/pool/warm_start': '10ms', ...set }, logs,
      close: { result: 6 },
      check: (r) => {
        allDone(r);
        assert.ok(r.counters.work_requeued > 0 && lost(r, 'sandbox') > 0);
        /* Also what ran when it was killed; a machine that is slow, live, has sandboxes for longer. */
        billed ??= r.cost.sandbox_ns;
        assert.ok(r.cost.sandbox_ns > 0.95 * billed, `${r.cost.sandbox_ns} of ${billed}`);
      } });
  });
}

test('an MCP server is killed: calls fail upstream and are made again', (t) => both(t, [kill('mcp/search')], {
  check: (r) => {
    allDone(r);
    assert.equal(r.ledger.accounts.attempt.failed, r.counters.http_5xx);
    assert.ok(r.counters.http_5xx > 0 && lost(r, 'connection') === 0);
  } }));

test('an MCP server is killed within a process that lives on', (t) => both(t, [kill('mcp/search')], {
  set: { '/mcp/other': { service_time: '10ms' } },
  check: (r) => {
    allDone(r);
    assert.equal(r.ledger.accounts.attempt.failed, r.counters.http_5xx);
    assert.ok(r.counters.http_5xx > 0 && lost(r, 'connection') === 0);
  } }));

test('an MCP server is killed for good', (t) => both(t, [kill('mcp/search', '2900ms', null)], {
  /* Of the calls under way at that moment, some were through. */
  set: { '/orchestrator/mcp/retry/attempts': 2 }, close: { call: 6 },
  check: (r) => {
    completed(r);
    assert.ok(r.ledger.accounts.call.failed > 0);
  } }));

// Links
// ----------------------------------------------------------------------------------------------------------

const LINKS = ['client-orchestrator', 'runner-orchestrator', 'orchestrator-edge', 'connector-edge', 'proxy-mcp'];

for (const name of LINKS) {
  test(`cut ${name}`, (t) => both(t, [link('cut', name)], {
    check: (r) => {
      allDone(r);
      if (name === 'connector-edge') assert.equal(lost(r, 'connection'), 8);
      if (name === 'orchestrator-edge') assert.ok(lost(r, 'attempt') > 8);
      if (name === 'proxy-mcp') assert.ok(r.ledger.accounts.attempt.failed > 8);
    } }));

  test(`stall ${name}`, (t) => both(t, [link('stall', name, { for: '700ms' })], {
    check: (r) => {
      allDone(r);
      assert.equal(lost(r, 'connection'), 0);
      const held = { 'client-orchestrator': 'event.delivery', 'runner-orchestrator': 'tool.call' }[name] ?? 'mcp.call';
      assert.ok(r.metrics[held].max_ns > 600e6, `${held} ${r.metrics[held].max_ns}`);
    } }));
}

test('delay: everything is later', (t) =>
  both(t, LINKS.map((name) => link('delay', name, { at: '1s', for: '2s', delay: '40ms' })), {
    check: (r) => {
      allDone(r);
      for (const [metric, least] of [['event.delivery', 12e6], ['tool.call', 130e6], ['mcp.call', 140e6]])
        assert.ok(r.metrics[metric].mean_ns > least, `${metric} ${r.metrics[metric].mean_ns}`);
    } }));

test('half-open client-orchestrator: who waits for an answer waits on', (t) =>
  both(t, [link('half-open', 'client-orchestrator', { for: '1s' })], {
    /* Each session that was under way waits for ever: which ones differs. */
    set: { '/drain': '3s' }, close: { session: 4, turn: 4, call: 24, attempt: 12, result: 12, work: 4 } }));

test('half-open runner-orchestrator: leases lapse', (t) =>
  both(t, [link('half-open', 'runner-orchestrator', { for: '2s' })], {
    close: { result: 5 },
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
    set: { '/tunnels/detect': '1s' }, close: { call: 10, attempt: 60, stream: 60 },
    check: (r) => {
      completed(r);
      assert.equal(lost(r, 'connection'), 8);
      assert.ok(r.counters.timeouts >= 8);
    } }));

test('… or, where pings are too slow for that, what comes after it', (t) =>
  both(t, [link('half-open', 'connector-edge', { for: '1500ms' })], {
    set: { '/tunnels/detect': '6s' }, close: { call: 10, attempt: 60, stream: 60 },
    check: (r) => {
      completed(r);
      /* All carried calls meanwhile. */
      assert.equal(lost(r, 'connection'), 8);
      assert.ok(r.metrics['tunnel.usable'].max_ns < 1e9, `${r.metrics['tunnel.usable'].max_ns}`);
    } }));

test('half-open proxy-mcp: attempts time out', (t) => both(t, [link('half-open', 'proxy-mcp', { for: '2s' })], {
  check: (r) => {
    allDone(r);
    assert.ok(r.counters.timeouts > 0);
  } }));

// Links that only some deployments have, or that lie within one machine as a rule.
const DIRECT = { '/orchestrator/mcp/direct': true };

for (const [name, set] of [['connector-proxy', {}], ['orchestrator-mcp', DIRECT]]) {
  test(`cut ${name}`, (t) => both(t, [link('cut', name)], { set, check: (r) => {
    allDone(r);
    assert.equal(lost(r, 'connection'), 0);
    assert.ok(r.ledger.accounts.attempt.failed + lost(r, 'attempt') > 8);
  } }));

  test(`stall ${name}`, (t) => both(t, [link('stall', name, { for: '700ms' })], { set, check: (r) => {
    allDone(r);
    assert.ok(r.metrics['mcp.call'].max_ns > 600e6, `${r.metrics['mcp.call'].max_ns}`);
  } }));

  test(`half-open ${name}: attempts time out`, (t) => both(t, [link('half-open', name, { for: '2s' })], { set, check: (r) => {
    allDone(r);
    assert.ok(r.counters.timeouts > 0);
  } }));

  test(`delay ${name}`, (t) => both(t, [link('delay', name, { at: '1s', for: '2s', delay: '40ms' })], { set, check: (r) => {
    allDone(r);
    assert.ok(r.metrics['mcp.call'].max_ns > 110e6, `${r.metrics['mcp.call'].max_ns}`);
  } }));
}

test('rate: what is sent takes its time', (t) =>
  both(t, [link('rate', 'proxy-mcp', { at: '1s', for: '3s', rate: '8kB/s' })], {
    check: (r) => {
      allDone(r);
      assert.ok(r.metrics['mcp.call'].mean_ns > 90e6, `${r.metrics['mcp.call'].mean_ns}`);
    } }));

test('rate: all connections of a link share it', (t) =>
  both(t, [link('rate', 'runner-orchestrator', { at: '1s', for: '2s', rate: '16kB/s', target: 'runner/*' })], {
    close: { result: 12 },
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
    assert.ok(r.metrics['mcp.call'].min_ns < least + 30e6, `mcp.call ${r.metrics['mcp.call'].min_ns}`);
    assert.ok(r.metrics['event.delivery'].min_ns >= 5e6, `event.delivery ${r.metrics['event.delivery'].min_ns}`);
  } }));

// Answers, workers
// ----------------------------------------------------------------------------------------------------------

for (const [status, more] of [[429, { retry_after: '1s' }], [503, {}], [500, {}]]) {
  test(`the orchestrator and an MCP server answer ${status}`, (t) =>
    both(t, [answer('orchestrator', status, more), answer('mcp/search', status, { ...more, at: '2s' })], {
      close: { session: 2, turn: 2, call: 12, attempt: 16, result: 14, work: 2 },
      check: (r) => {
        /* A worker that never got its result through holds on to the session. */
        assert.ok(lost(r, 'session') === 0 && r.ledger.accounts.session.completed >= 19);
        const { failed } = r.ledger.accounts.attempt;
        assert.ok(failed > 4);
        /* Those of the MCP server, and those of the orchestrator that somebody still waited for; one for each fault. */
        assert.ok(r.counters[status === 429 ? 'http_429' : 'http_5xx'] > failed + 20);
        assert.equal(r.counters.faults_injected, 2);
        assert.ok(r.counters.retries > failed);
        /* What was told to wait did so. */
        if (status === 429) assert.ok(r.metrics['mcp.call'].max_ns > 1e9);
      } }));
}

// Of a gateway it is the proxy that answers. A call has a tunnel stream of its own here, for the edge answers those alone.
for (const [target, status, more] of [['edge', 503, {}], ['edge', 429, { retry_after: '1s' }], ['gateway/0-3', 500, {}], ['proxy/*', 429, { retry_after: '1s' }]]) {
  test(`${target} answers ${status}`, (t) => both(t, [answer(target, status, { ...more, at: '1900ms', for: '500ms', share: '100%' })], {
    set: { '/orchestrator/mcp/stream_idle': '1ms' },
    check: (r) => {
      allDone(r);
      assert.ok(r.ledger.accounts.attempt.failed > 3, `${r.ledger.accounts.attempt.failed}`);
      assert.equal(r.counters[status === 429 ? 'http_429' : 'http_5xx'], r.ledger.accounts.attempt.failed - r.counters.timeouts);
      assert.equal(r.counters.faults_injected, 1);
      if (status === 429) assert.ok(r.metrics['mcp.call'].max_ns > 1e9);
    } }));
}

test('the edge refuses registrations as if they were there twice: they are made again', (t) =>
  both(t, [answer('edge', 409, { at: '0s', for: '400ms', share: '60%' })], {
    check: (r) => {
      allDone(r);
      assert.ok(r.ledger.accounts.connection.failed > 0);
      assert.equal(r.counters.connections_rejected, r.ledger.accounts.connection.failed);
    } }));

test('workers vanish after they acknowledged', (t) =>
  both(t, [{ kind: 'worker-crash', at: '1900ms', target: 'runner/0', count: 3 }], {
    check: (r) => {
      allDone(r);
      assert.equal(r.counters.faults_injected, 1);
      assert.equal(r.counters.work_requeued, 3);
    } }));

test('… or while they run', (t) =>
  both(t, [{ kind: 'worker-crash', at: '1900ms', target: 'runner/0', count: 3, delay: '300ms' }], {
    set: { [EXECUTION]: '400ms' },
    check: (r) => {
      allDone(r);
      assert.equal(r.counters.work_requeued, 3);
      assert.equal(lost(r, 'sandbox'), 3);
    } }));

// Verdicts
// ----------------------------------------------------------------------------------------------------------

test('an objective that a fault breaks, on both clocks', (t) => both(t, [kill('mcp/search')], {
  set: { '/objectives': ['count(retries) == 0'] }, code: 1,
  check: (r) => assert.equal(r.objectives[0].met, false) }));

test('an objective that survives it', (t) => both(t, [kill('mcp/search')], {
  set: { '/objectives': ['count(retries) > 0', 'ratio(session.completed) == 100%', 'max(mcp.call) < 4s'] },
  check: (r) => assert.ok(r.objectives.every((o) => o.met === true)) }));

test('a client that makes refused requests again on its own breaks the run, also where something else is killed', async (t) => {
  const dir = folder(t);
  const args = ['run', SCENARIO, '--progress', 'none', ...sets({ '/faults': [answer('orchestrator', 503), kill('mcp/search')] })];
  const normal = await run([...args, '--out', 'normal'], { cwd: dir });
  const planted = await run([...args, '--out', 'planted'], { cwd: dir, program: process.env.WINDTUNNEL_PLANTED });
  const result = readResult(join(dir, 'normal'), 'default');
  assert.equal(result.flows_balanced, true);
  if (!lateness(result)) {
    went(normal, 0);
    for (const way of result.flow_links) assert.equal(way.may_lose, way.link === 'proxy-mcp' ? 'kill' : null, JSON.stringify(way));
  }
  went(planted, 4);
  assert.match(planted.stdout, /messages were lost or doubled .*: \w+ to \w+ \((client|runner)-orchestrator\), \w+: \d+ emitted, \d+ decoded/);
  assert.equal(readResult(join(dir, 'planted'), 'default').flows_balanced, false);
  const wrong = readResult(join(dir, 'planted'), 'default').flow_links.filter((way) => !way.balanced);
  assert.ok(wrong.length > 0 && wrong.every((way) => /^(client|runner)-orchestrator$/.test(way.link)), JSON.stringify(wrong));
  assert.equal(readResult(join(dir, 'planted'), 'default').ledger.verdict, 'balanced');
});

});

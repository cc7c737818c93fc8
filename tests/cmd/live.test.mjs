// Live runs: they end in order and leave nothing behind, whatever happens to them; and what they kept is replayed.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import {
  SANITIZED, checkResult, folder, lines, live, oneLine, readHlog, readResult, readRun, run, scenario, sets, sleep, tinyDisk,
  until, went,
} from './support.mjs';

// The canonical scenarios, short enough to be run at each change; each still does all that it is about.
const SHORT = {
  'cold-start': { deployment: 'modal-warm', set: { '/duration': '4s' } },
  'fan-out': { deployment: 'queue', set: { '/duration': '3s', '/load/agents/rate': '60/min',
    '/runners/pool/parallel_per_agent': 25, '/scripts/sweep/turns/0/steps/0/calls/0/count': 25 } },
  'reconnect-storm': { deployment: 'retry', set: { '/duration': '10s', '/tunnels/count': 6,
    '/faults/0/at': '2s', '/faults/0/for': '1s', '/faults/1/at': '4s', '/faults/1/for': '1s', '/faults/1/target': 'gateway/0-1',
    '/faults/2/at': '7s', '/faults/2/for': '2s' } },
  'spill-100k': { deployment: 'tunnel', set: { '/duration': '3s' } },
};

// Of the objectives those that so few samples can answer.
const MET = { '/objectives': ['ratio(session.completed) > 95%', 'count(call.lost) == 0', 'count(hash_mismatches) == 0',
  'max(session.total) < 20s'] };
const NEVER_MISSED = { '/objectives': [] };
// With sanitizers at a lower rate, and valid however late the load comes.
const RATES = { 'cold-start': '2/s', 'fan-out': '40/min', 'reconnect-storm': '2/s', 'spill-100k': '1/s' };
const gentle = (name) => SANITIZED ? { '/load/agents/rate': RATES[name], '/live/schedule_lag': '1h' } : {};
const args = (name, set = {}) => [scenario(name), '--deployment', SHORT[name].deployment, '--seed', '3',
  ...sets({ ...SHORT[name].set, ...gentle(name), ...set }), '--out', 'o'];

// 0; or 3 where the machine was busy with other things and the load came late, which is not the program's fault.
function wentWell(r, cwd) {
  if (r.code === 3 && !SANITIZED) {
    const reasons = readRun(join(cwd, 'o')).results.flatMap((one) => readResult(join(cwd, 'o'), one.deployment).invalid_reasons);
    assert.ok(reasons.length > 0 && reasons.every((reason) => /schedule\.lag/.test(reason)), reasons.join('\n'));
  } else {
    went(r, 0);
  }
}

// Bytes of the frame that says that nothing is missing: a head, and a check sum.
const END_FRAME = 16;

const flightLogs = (dir) => readdirSync(dir).filter((name) => name.endsWith('.flight'));

// The logs alone, at another place, with nothing else of the run.
async function replay(cwd) {
  renameSync(join(cwd, 'f'), join(cwd, 'moved'));
  rmSync(join(cwd, 'o'), { recursive: true });
  const r = await run(['replay', 'moved'], { cwd });
  went(r, 0);
  const logs = flightLogs(join(cwd, 'moved'));
  const early = lines(r.stderr);
  const killed = logs.filter((log) => logs.includes(log.replace(/\.(\d+)\.flight$/, (_, n) => `.${Number(n) + 1}.flight`)));
  assert.deepEqual(early.map((line) => line.split(':')[0]), killed.map((log) => `moved/${log}`), 'only who was killed ends early');
  const told = lines(r.stdout);
  assert.equal(told.length, logs.length);
  for (const log of logs)
    assert.ok(told.some((line) => line.startsWith(`moved/${log}: `) && line.endsWith('the same, to the bit')), log);
  return logs;
}

for (const name of Object.keys(SHORT)) {
  test(`${name}: met, balanced, nothing left, replayed to the bit`, async (t) => {
    const cwd = folder(t);
    const { deployment } = SHORT[name];
    const { watched, witness } = live(cwd, [...args(name, MET), '--flight', 'f']);
    const r = await watched;
    wentWell(r, cwd);
    await witness.nothingIsLeft();
    const result = readResult(join(cwd, 'o'), deployment);
    checkResult(result);
    assert.deepEqual([result.clock, result.digest], ['live', '']);
    assert.deepEqual(result.objectives.filter((o) => !o.met), []);
    assert.ok(result.ledger.accounts.call.completed > 0);
    assert.ok(readHlog(join(cwd, 'o'), deployment).length > 0);
    assert.ok(existsSync(join(cwd, 'o', 'report.html')));
    const roles = ['mcp', 'orchestrator', 'edge', 'gateway', 'runner', 'client'].filter((role) =>
      role !== 'mcp' || witness.names().includes('mcp'));
    const logs = await replay(cwd);
    for (const role of roles) assert.ok(logs.some((log) => log.startsWith(role)), `a log of ${role}`);
    if (name === 'reconnect-storm') assert.ok(logs.length > roles.length, 'each incarnation has a log of its own');
  });
}

test('an orchestrator that is killed comes back with its sessions', async (t) => {
  const cwd = folder(t);
  const kill = { '/faults': [{ kind: 'kill', at: '2s', for: '500ms', target: 'orchestrator' }], ...NEVER_MISSED };
  const { watched, witness } = live(cwd, [...args('cold-start', kill), '--flight', 'f']);
  wentWell(await watched, cwd);
  await witness.nothingIsLeft();
  const result = readResult(join(cwd, 'o'), 'modal-warm');
  checkResult(result);
  const { session } = result.ledger.accounts;
  assert.equal(session.completed, session.opened, 'nobody lost a session');
  assert.ok((await replay(cwd)).filter((log) => log.startsWith('orchestrator')).length === 2);
});

// As it does in virtual time, which knows no limit of a request's size: only the scenario's own.
test('a result of nine million characters that is not to be spilled comes back', async (t) => {
  const cwd = folder(t);
  const FAULTS = fileURLToPath(new URL('faults.json', import.meta.url));
  const large = { '/duration': '1s', '/drain': '30s', '/load/agents/start': '0s', '/load/agents/rate': '1/s', '/load/agents/patience': '30s',
    '/orchestrator/lease_ttl': '30s', '/orchestrator/spill_threshold': 10e6, '/scripts/work/turns/0/steps/0/repeat': 1,
    '/scripts/work/turns/0/steps/0/calls/0/output': 9e6 };
  wentWell(await live(cwd, [FAULTS, ...sets(large), '--out', 'o']).watched, cwd);
  const result = readResult(join(cwd, 'o'), 'default');
  checkResult(result);
  const { call, result: posted } = result.ledger.accounts;
  assert.deepEqual([call.completed, posted.completed], [call.opened, posted.opened]);
  assert.deepEqual([result.counters.http_4xx, result.counters.spilled_results, result.flows_balanced], [0, 0, true]);
});

test('a flight log with one bit turned is named', async (t) => {
  const cwd = folder(t);
  const small = { '/duration': '1s', '/load/agents/rate': '3/s', ...NEVER_MISSED };
  wentWell(await live(cwd, [...args('cold-start', small), '--flight', 'f']).watched, cwd);
  const path = join(cwd, 'f', 'orchestrator.0.flight');
  const good = readFileSync(path);
  for (const at of [0, 9, 100, good.length >> 1, good.length - 1]) {
    const bad = Buffer.from(good);
    bad[at] ^= 0x10;
    writeFileSync(path, bad);
    const r = await run(['replay', 'f'], { cwd });
    assert.notEqual(r.code, 0, `byte ${at} of ${good.length}`);
    oneLine(r.stderr, /^f\/orchestrator\.0\.flight: /);
    assert.equal(lines(r.stdout).length, flightLogs(join(cwd, 'f')).length - 1, 'the others are good');
  }
  // As a process leaves it that was killed, at any moment: not an error, but told.
  for (const [size, says] of [[good.length - 3, /^f\/orchestrator\.0\.flight: ends early, in the middle of a frame/],
    [good.length - END_FRAME, /^f\/orchestrator\.0\.flight: ends early, without its end mark/]]) {
    writeFileSync(path, good.subarray(0, size));
    const r = await run(['replay', 'f'], { cwd });
    went(r, 0);
    oneLine(r.stderr, says);
  }
  writeFileSync(path, Buffer.concat([good, good.subarray(good.length - END_FRAME)]));
  const r = await run(['replay', 'f'], { cwd });
  went(r, 4);
  oneLine(r.stderr, /a frame after the end/);
});

for (const [signal, where] of [['SIGINT', 'the supervisor'], ['SIGTERM', 'the supervisor'], ['SIGHUP', 'the supervisor'], ['SIGINT', 'the whole group']]) {
  test(`${signal} to ${where}: 130, what was measured is saved, nothing is left`, async (t) => {
    const cwd = folder(t);
    const { pid, child, watched, witness } = live(cwd, args('reconnect-storm', NEVER_MISSED));
    await sleep(3500);
    witness.look();
    if (where === 'the whole group') for (const p of witness.running()) process.kill(p.pid, signal);
    child.kill(signal);
    const asked = Date.now();
    const r = await watched;
    assert.ok(Date.now() - asked < 5000, 'it ends at once');
    went(r, 130);
    assert.equal(r.signal, null, `of ${pid}`);
    await witness.nothingIsLeft();
    const result = readResult(join(cwd, 'o'), 'retry');
    checkResult(result);
    assert.deepEqual([result.interrupted, result.valid, readRun(join(cwd, 'o')).interrupted], [true, false, true]);
    assert.ok(result.ledger.accounts.session.opened > 0 && result.end_ns > 1e9 && result.end_ns < 9e9);
    assert.ok(existsSync(join(cwd, 'o', 'report.html')));
  });
}

test('a Ctrl-C before all processes listen is heard too', async (t) => {
  const cwd = folder(t);
  const many = { '/tunnels/count': 48, '/faults': [], '/live/gateway_processes': 0, ...NEVER_MISSED };
  const { child, watched, witness } = live(cwd, args('reconnect-storm', many));
  await until(() => (witness.look(), witness.processes.size > 0), 'a first process');
  child.kill('SIGINT');
  const r = await watched;
  went(r, 130);
  assert.deepEqual(witness.running(), []);
  assert.deepEqual(readdirSync(witness.directory), []);
});

// Its processes are being started then, or have just been told to go: nobody waits for the first interval.
for (const ms of [20, 60, 150]) {
  test(`a Ctrl-C ${ms} ms after the start is heard at once`, async (t) => {
    const cwd = folder(t);
    const { child, watched, witness } = live(cwd, args('cold-start', { '/interval': '20s', '/duration': '20s', ...NEVER_MISSED }), { every: 10 });
    await until(() => existsSync(join(cwd, 'o', 'run.json')), 'it has begun');
    await sleep(ms);
    child.kill('SIGINT');
    const asked = Date.now();
    went(await watched, 130);
    assert.ok(Date.now() - asked < 3000, `${Date.now() - asked} ms`);
    assert.deepEqual(witness.running(), []);
    assert.deepEqual(readdirSync(witness.directory), []);
  });
}

for (const victim of ['edge', 'runner', 'orchestrator', 'client']) {
  test(`${victim}: killed by somebody else: one clear line, 4, the rest ended and saved`, async (t) => {
    const cwd = folder(t);
    const { watched, witness } = live(cwd, [...args('reconnect-storm', NEVER_MISSED), '--progress', 'none']);
    await until(() => (witness.look(), witness.ips.size > 0), 'listeners');
    await sleep(2500);
    process.kill(witness.running().find((p) => p.name === victim).pid, 'SIGKILL');
    const r = await watched;
    went(r, 4);
    oneLine(r.stderr, new RegExp(`^${victim}: killed by signal 9`));
    await witness.nothingIsLeft();
    const result = readResult(join(cwd, 'o'), 'retry');
    checkResult(result);
    assert.equal(result.valid, false);
    assert.ok(result.invalid_reasons.some((reason) => reason.startsWith(`${victim}: killed`)), result.invalid_reasons.join());
    assert.ok(result.ledger.accounts.session.opened > 0);
    assert.equal(readRun(join(cwd, 'o')).results[0].valid, false);
  });
}

test('the supervisor is killed: its processes go with it', async (t) => {
  const cwd = folder(t);
  const { child, watched, witness } = live(cwd, args('spill-100k', NEVER_MISSED));
  await until(() => (witness.look(), witness.ips.size > 0), 'listeners');
  await sleep(500);
  child.kill('SIGKILL');
  await watched;
  await witness.nothingIsLeft({ folders: false });
  assert.equal(readdirSync(witness.directory).length, 1, 'what it could not remove');
  mkdirSync(join(witness.directory, 'windtunnel-notes'));
  const next = live(cwd, args('spill-100k', { '/duration': '1s', ...NEVER_MISSED }));
  wentWell(await next.watched, cwd);
  assert.deepEqual(readdirSync(witness.directory), ['windtunnel-notes'], 'the next run removes it, and nothing else');
});

// Nobody asked for a relay: the scenario's links are honoured by themselves.
test('a latency and a rate of the scenario hold live', async (t) => {
  const cwd = folder(t);
  const far = { '/duration': '2s', '/links/orchestrator-edge/latency': '40ms', '/links/connector-edge/latency': '30ms',
    '/links/proxy-mcp/rate': '2MB/s', ...NEVER_MISSED };
  const { watched, witness } = live(cwd, args('spill-100k', far));
  wentWell(await watched, cwd);
  await witness.nothingIsLeft();
  assert.ok(witness.names().includes('relay'));
  const result = readResult(join(cwd, 'o'), 'tunnel');
  checkResult(result);
  // There and back over two links, and 400 kB at 2 MB/s.
  assert.ok(result.metrics['mcp.call'].min_ns > 2 * (40e6 + 30e6) + 200e6, `${result.metrics['mcp.call'].min_ns / 1e6} ms`);
});

test('two runs at once do not meet', async (t) => {
  const dirs = [folder(t), folder(t)];
  const two = dirs.map((cwd) => live(cwd, args('spill-100k', NEVER_MISSED)));
  for (const [i, { watched }] of two.entries()) wentWell(await watched, dirs[i]);
  for (const { witness } of two) await witness.nothingIsLeft();
  assert.equal(new Set(two.flatMap(({ witness }) => [...witness.ips])).size, 2);
  for (const cwd of dirs) checkResult(readResult(join(cwd, 'o'), 'tunnel'));
});

test('a flight log takes the place of those before it, and of nothing else; one run at a time', async (t) => {
  const cwd = folder(t);
  mkdirSync(join(cwd, 'f'));
  writeFileSync(join(cwd, 'f', 'notes.flight'), 'mine');
  writeFileSync(join(cwd, 'f', 'runner.7.flight'), 'WTFLIGHT of an earlier run');
  const small = { '/duration': '2s', '/load/agents/rate': '3/s', ...NEVER_MISSED };
  const first = live(cwd, [...args('cold-start', small), '--flight', 'f']);
  await until(() => existsSync(join(cwd, 'f', 'client.0.flight')), 'it has begun');
  const second = await run(['run', ...args('cold-start', small).slice(0, -1), 'p', '--flight', 'f'], { cwd });
  went(second, 2);
  oneLine(second.stderr, /^--flight f: another run is writing there/);
  assert.ok(!existsSync(join(cwd, 'p')), 'nothing was started');
  wentWell(await first.watched, cwd);
  const logs = flightLogs(join(cwd, 'f'));
  assert.ok(logs.includes('notes.flight') && !logs.includes('runner.7.flight'), logs.join());
  rmSync(join(cwd, 'f', 'notes.flight'));
  went(await run(['replay', 'f'], { cwd }), 0);
  // Both may go into one folder.
  wentWell(await live(cwd, [...args('cold-start', small), '--flight', 'o']).watched, cwd);
  went(await run(['replay', 'o'], { cwd }), 0);
});

test('no room for the results is told before the run', async (t) => {
  const cwd = folder(t);
  writeFileSync(join(cwd, 'o'), 'a file');
  const begun = Date.now();
  const r = await live(cwd, args('spill-100k')).watched;
  went(r, 2);
  oneLine(r.stderr, /\bo\b.*(Not a directory|exists)/);
  assert.ok(Date.now() - begun < 2000);
});

// Full disks
// ----------------------------------------------------------------------------------------------------------------

// A journal is kept where the plan kills the orchestrator: late enough here.
const KILLED_LATE = { '/faults': [{ kind: 'kill', at: '2900ms', for: '50ms', target: 'orchestrator' }] };
for (const [what, path, kib, extra, says, settings] of [
  ['results', 'o', 12, [], /No space left on device/],
  ['flight logs', 'f', 64, ['--flight', 'f'], /flight log cannot be written/],
  ['the journal', 'tmp', 16, [], /journal cannot be written/, KILLED_LATE],
]) {
  test(`a full disk for ${what}: one clear line, 4, nothing is left`, async (t) => {
    const cwd = folder(t);
    if (!tinyDisk(join(cwd, path), kib)) return t.skip('a disk cannot be mounted here');
    const { watched, witness } = live(cwd, [...args('cold-start', { '/duration': '3s', ...NEVER_MISSED, ...settings }), '--progress', 'none', ...extra]);
    const r = await watched;
    went(r, 4);
    oneLine(r.stderr, says);
    await witness.nothingIsLeft();
    if (path === 'o') assert.match(r.stdout, /session\.total/, 'the table at least is there');
    else checkResult(readResult(join(cwd, 'o'), 'modal-warm'));
  });
}

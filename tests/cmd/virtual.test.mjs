// Runs in virtual time, from the command line to the files.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  CANONICAL, checkResult, folder, lines, oneLine, readHlog, readResult, readRun, resultPath, run, scenario, sets, sleep,
  start, tinyDisk, went, withoutHost,
} from './support.mjs';

const COLD = scenario('cold-start');
const virtual = (cwd, name, ...args) => run(['run', scenario(name), '--clock', 'virtual', ...args], { cwd });

for (const name of CANONICAL) {
  test(`${name}: all deployments, twice the same, another seed another run`, async (t) => {
    const cwd = folder(t);
    for (const [out, seed] of [['a', 7], ['b', 7], ['c', 8]])
      went(await virtual(cwd, name, '--deployment', 'all', '--seed', String(seed), '--out', out), 0);
    const [a, b, c] = ['a', 'b', 'c'].map((out) => join(cwd, out));
    const { deployments, results } = readRun(a);
    const document = JSON.parse(readFileSync(scenario(name), 'utf8'));
    assert.deepEqual(deployments, Object.keys(document.deployments));
    assert.deepEqual(results.map((r) => r.deployment), deployments);
    for (const deployment of deployments) {
      const result = readResult(a, deployment);
      checkResult(result);
      assert.equal(result.valid, true);
      assert.deepEqual([result.clock, result.seed, result.deployment, result.replicate], ['virtual', 7, deployment, 0]);
      assert.ok(result.ledger.accounts.session.opened >= 5, 'the load did something');
      assert.equal(result.informational, document.deployments[deployment].informational ?? false);
      assert.equal(withoutHost(a, deployment), withoutHost(b, deployment), 'the same seed gives the same bytes');
      assert.deepEqual(readHlog(a, deployment), readHlog(b, deployment));
      assert.notEqual(result.digest, readResult(c, deployment).digest);
      checkResult(readResult(c, deployment));
    }
    const arrivals = new Set(deployments.map((d) => readResult(a, d).ledger.accounts.session.opened));
    assert.equal(arrivals.size, 1, 'deployments under one seed meet the same arrivals');
  });
}

test('where the results are and who is who does not get into them', async (t) => {
  const cwd = folder(t);
  mkdirSync(join(cwd, 'elsewhere'));
  went(await virtual(cwd, 'spill-100k'), 0);
  went(await run(['run', scenario('spill-100k'), '--clock=virtual', '--out=../x'], { cwd: join(cwd, 'elsewhere') }), 0);
  assert.deepEqual(readdirSync(cwd).sort(), ['elsewhere', 'out', 'x']);
  const first = join(cwd, 'out', 'spill-100k');
  assert.deepEqual(readdirSync(first).sort(), ['report.html', 'run.json', 'tunnel']);
  assert.equal(withoutHost(first, 'tunnel'), withoutHost(join(cwd, 'x'), 'tunnel'));
});

test('--verify runs it again and agrees', async (t) => {
  const cwd = folder(t);
  for (const name of CANONICAL) went(await virtual(cwd, name, '--verify', '--out', name), 0);
});

test('--replicates: each is a run of its own, the first is that without', async (t) => {
  const cwd = folder(t);
  went(await virtual(cwd, 'cold-start', '--replicates', '2', '--out', 'two'), 0);
  went(await virtual(cwd, 'cold-start', '--out', 'one'), 0);
  const [two, one] = ['two', 'one'].map((out) => join(cwd, out));
  assert.deepEqual(readRun(two).results.map((r) => [r.deployment, r.replicate, r.path]),
    [['modal-cold', 0, 'modal-cold/0/result.json'], ['modal-cold', 1, 'modal-cold/1/result.json']]);
  const [r0, r1] = [0, 1].map((k) => readResult(two, 'modal-cold', k));
  for (const r of [r0, r1]) checkResult(r);
  assert.notEqual(r0.digest, r1.digest);
  assert.equal(withoutHost(two, 'modal-cold', 0), withoutHost(one, 'modal-cold', 0));
});

test('--set is told in run.json, and changes the hash of the scenario', async (t) => {
  const cwd = folder(t);
  went(await virtual(cwd, 'cold-start', '--set', '/load/agents/rate=2/s', '--out', 'set'), 0);
  went(await virtual(cwd, 'cold-start', '--out', 'plain'), 0);
  const [set, plain] = ['set', 'plain'].map((out) => readRun(join(cwd, out)));
  assert.deepEqual(set.set, ['/load/agents/rate=2/s']);
  assert.notEqual(set.scenario.sha256, plain.scenario.sha256);
  assert.equal(readResult(join(cwd, 'set'), 'modal-cold').scenario.sha256, set.scenario.sha256);
});

test('reconnect-storm: outages enough for a p99 of how long they last, in both stages of the back-off', async (t) => {
  const cwd = folder(t);
  const storm = async (out, ...args) => {
    const r = await virtual(cwd, 'reconnect-storm', '--deployment', 'retry', '--out', out, ...args);
    went(r, 0);
    return { shown: r.stdout, ...readResult(join(cwd, out), 'retry') };
  };
  const QUANTILES = ['p50_ns', 'p90_ns', 'p99_ns'];
  for (const seed of ['1', '2', '3']) {
    const r = await storm(`seed${seed}`, '--seed', seed);
    checkResult(readResult(join(cwd, `seed${seed}`), 'retry'));
    for (const name of ['tunnel.usable', 'tunnel.reconnect', 'mcp.call'])
      for (const quantile of QUANTILES) assert.ok(r.metrics[name][quantile] > 0, `${quantile} of ${r.metrics[name].count} ${name}`);
    const { mean_per_second: mean, peak_per_second: peak, peak_at_ns: at } = r.rates.handshakes;
    assert.equal(mean, (Math.floor(r.counters.handshakes * 1e12 / r.end_ns) / 1000).toFixed(3));
    assert.ok(Number(peak) >= 280 && Number(peak) <= r.counters.handshakes, peak);
    assert.ok([0, 18e9].includes(at), `all begin, or come back from the gateways' restart: ${at}`);
    assert.match(r.shown, new RegExp(`\\n {2}handshakes +${mean} +${peak} `));
    assert.deepEqual(r.faults.map(({ fault }) => fault), ['kill mcp/search', 'kill gateway/*', 'kill edge']);
  }
  const plain = readResult(join(cwd, 'seed1'), 'retry').metrics['tunnel.reconnect'];
  for (const stage of ['connection_base', 'supervisor_base']) {
    const quick = (await storm(stage, ...sets({ [`/tunnels/backoff/${stage}`]: '1ms' }))).metrics['tunnel.reconnect'];
    assert.notEqual(quick.mean_ns, plain.mean_ns, `waits of ${stage} are in how long tunnels are away`);
  }
});

for (const deployment of ['queue', 'shed']) {
  test(`fan-out, ${deployment}: the limits of an agent and of the tenant both bind, this over all instances`, async (t) => {
    const cwd = folder(t);
    const limited = async (out, set = {}) => {
      const args = sets(Object.fromEntries(Object.entries(set).map(([key, value]) =>
        [key === 'instances' ? '/runners/pool/instances' : `/deployments/${deployment}/set/runners/pool/${key}`, value])));
      went(await virtual(cwd, 'fan-out', '--deployment', deployment, ...args, '--out', out), 0);
      return readResult(join(cwd, out), deployment);
    };
    const both = await limited('both');
    const agents = await limited('agents', { parallel_per_tenant: 0 });
    const tenant = await limited('tenant', { parallel_per_agent: 0 });
    assert.equal(new Set([agents, both, tenant].map((r) => r.digest)).size, 3);
    const refused = (r) => r.ledger.accounts.sandbox.shed;
    const waits = (r) => r.metrics['sandbox.start'].mean_ns;
    for (const one of [agents, tenant])
      assert.ok(deployment === 'shed' ? refused(one) < refused(both) : waits(one) < waits(both), 'each adds to what the other does');
    const most = deployment === 'shed' ? 41 : 40; /* one that is refused is open for a moment */
    assert.equal(both.ledger.accounts.sandbox.open_max, most);
    assert.ok(agents.ledger.accounts.sandbox.open_max > most);
    const spread = await limited('spread', { instances: 3, parallel_per_agent: 0 });
    assert.ok(spread.ledger.accounts.sandbox.open_max <= most, 'three machines are one tenant');
  });
}

test('--progress json: lines of JSON that end with all done', async (t) => {
  const cwd = folder(t);
  const r = await virtual(cwd, 'reconnect-storm', '--deployment', 'all', '--progress', 'json', '--out', 'o');
  went(r, 0);
  const told = lines(r.stderr).map((line) => JSON.parse(line));
  const done = told.filter((line) => line.done);
  assert.deepEqual(done.map((line) => [line.deployment, line.step, line.steps, line.percent, line.remaining_ns]),
    [['retry', 0, 2, 100, 0], ['no-retry', 1, 2, 100, 0]]);
  for (const line of done) {
    const { session, call } = readResult(join(cwd, 'o'), line.deployment).ledger.accounts;
    assert.deepEqual([line.sessions_opened, line.sessions_ended, line.calls_ended],
      [session.opened, session.opened, call.opened], 'the last line counts what the result counts');
  }
});

test('--progress none says nothing; a pipe gets neither colours nor a redrawn line', async (t) => {
  const cwd = folder(t);
  const quiet = await virtual(cwd, 'cold-start', '--progress', 'none', '--out', 'q');
  assert.equal(quiet.stderr, '');
  const loud = await virtual(cwd, 'cold-start', '--out', 'l');
  // eslint-disable-next-line no-control-regex
  assert.doesNotMatch(loud.stdout + loud.stderr, /[\u001b\r]/);
});

test('report renders the same page and table again, as often as one likes', async (t) => {
  const cwd = folder(t);
  const first = await virtual(cwd, 'fan-out', '--deployment', 'all', '--out', 'o');
  const page = readFileSync(join(cwd, 'o', 'report.html'));
  const files = ['unlimited', 'queue', 'shed'].map((d) => readFileSync(resultPath(join(cwd, 'o'), d)));
  for (let i = 0; i < 2; i++) {
    writeFileSync(join(cwd, 'o', 'report.html'), 'stale');
    const again = await run(['report', 'o'], { cwd });
    went(again, 0);
    assert.equal(again.stdout, first.stdout, 'the same tables');
    assert.deepEqual(readFileSync(join(cwd, 'o', 'report.html')), page);
  }
  assert.deepEqual(['unlimited', 'queue', 'shed'].map((d) => readFileSync(resultPath(join(cwd, 'o'), d))), files);
  assert.doesNotMatch(page.toString(), /<(script|link|img)[^>]+(src|href)=["']?(https?:)?\/\//, 'it needs no network');
});

test('report names a result file that is damaged', async (t) => {
  const cwd = folder(t);
  await virtual(cwd, 'cold-start', '--out', 'o');
  const path = resultPath(join(cwd, 'o'), 'modal-cold');
  const text = readFileSync(path, 'utf8');
  for (const damaged of ['', text.slice(0, text.length / 2), text.replace('"opened"', '"openend"'), '[]']) {
    writeFileSync(path, damaged);
    const r = await run(['report', 'o'], { cwd });
    went(r, 2);
    oneLine(r.stderr, /modal-cold\/0\/result\.json/);
  }
});

test('faults are told as the scenario names them, a line each', async (t) => {
  const cwd = folder(t);
  const faults = [{ kind: 'kill', at: '1s', for: '500ms', target: 'gateway/0-4' }, { kind: 'restart', at: '2s', for: '1s', target: 'gateway/*' },
    { kind: 'rate', at: '3s', for: '1s', link: 'connector-edge', rate: '10kB/s' }];
  const set = sets({ '/faults': faults, '/duration': '20s', '/tunnels/count': 6, '/tunnels/grace': '1s', '/objectives': [] });
  const r = await virtual(cwd, 'reconnect-storm', ...set, '--out', 'o');
  went(r, 0);
  const [{ deployment }] = readRun(join(cwd, 'o')).results;
  assert.deepEqual(readResult(join(cwd, 'o'), deployment).faults, [{ fault: 'kill gateway/0-4', at_ns: 1e9, for_ns: 5e8 },
    { fault: 'restart gateway/*', at_ns: 2e9, for_ns: 2.1e9 }, { fault: 'rate connector-edge, 10kB/s', at_ns: 3e9, for_ns: 1e9 }]);
});

test('marks for which there was no room are told, also when no call has all of its own', async (t) => {
  const cwd = folder(t);
  const r = await virtual(cwd, 'cold-start', ...sets({ '/spans/max': 1 }), '--out', 'o');
  assert.match(r.stdout, /warning: there was no room for [\d,]+ marks/);
  assert.match(readFileSync(join(cwd, 'o', 'report.html'), 'utf8'), /There was no room for [\d,]+ marks/);
});

test('deployments stand apart, and those that are informational are marked where they are compared', async (t) => {
  const cwd = folder(t);
  const { stdout } = await virtual(cwd, 'cold-start', '--deployment', 'all', ...sets({ '/deployments/modal-cold/informational': true }), '--out', 'o');
  assert.match(stdout, /^ *informational +yes +-/m);
  const heads = stdout.split('\n').map((line, i, all) => (/^ {2}virtual clock, seed/.test(line) ? all[i - 2] : undefined)).filter((line) => line !== undefined);
  assert.ok(heads.length > 1 && heads.every((line) => line === ''), heads.join('|'));
});

test('a missed objective is 1, a deployment that is only informational does not count', async (t) => {
  const cwd = folder(t);
  const impossible = sets({ '/objectives': ['max(tool.call) < 1ns'] });
  went(await virtual(cwd, 'cold-start', ...impossible, '--out', 'missed'), 1);
  const missed = readResult(join(cwd, 'missed'), 'modal-cold');
  assert.deepEqual(missed.objectives.map((o) => o.met), [false]);
  checkResult(missed);
  went(await virtual(cwd, 'reconnect-storm', ...impossible, '--deployment', 'no-retry', '--out', 'told'), 0);
  assert.equal(readResult(join(cwd, 'told'), 'no-retry').objectives[0].met, false);
  went(await virtual(cwd, 'reconnect-storm', ...impossible, '--deployment', 'all', '--out', 'both'), 1);
  assert.deepEqual(readRun(join(cwd, 'both')).results.map((r) => [r.objectives_met, r.informational]), [[false, false], [false, true]]);
});

test('an objective that too few samples can answer is not met', async (t) => {
  const cwd = folder(t);
  const few = sets({ '/objectives': ['p99(session.total) < 1h'] });
  const r = await virtual(cwd, 'fan-out', ...few, '--out', 'o');
  went(r, 1);
  const [objective] = readResult(join(cwd, 'o'), 'unlimited').objectives;
  assert.deepEqual([objective.value, objective.met], [null, false]);
  assert.ok(objective.reason);
});

test('a run takes the place of the one before it in the same folder, and of nothing else', async (t) => {
  const cwd = folder(t);
  const out = join(cwd, 'o');
  went(await virtual(cwd, 'fan-out', '--deployment', 'all', '--replicates', '2', '--out', 'o'), 0);
  writeFileSync(join(out, 'shed', 'notes.txt'), 'mine');
  went(await virtual(cwd, 'fan-out', '--deployment', 'queue', '--out', 'o'), 0);
  assert.deepEqual(readdirSync(out).sort(), ['queue', 'report.html', 'run.json', 'shed']);
  assert.deepEqual(readdirSync(join(out, 'shed')), ['notes.txt']);
  assert.deepEqual(readdirSync(join(out, 'queue')), ['0']);
  assert.deepEqual(readRun(out).results.map((r) => r.deployment), ['queue']);
});

test('… but not where the disk is full before it has begun', async (t) => {
  const cwd = folder(t);
  if (!tinyDisk(join(cwd, 'o'), 1024)) return t.skip('a disk cannot be mounted here');
  went(await virtual(cwd, 'cold-start', '--deployment', 'modal-cold', '--out', 'o'), 0);
  const before = readResult(join(cwd, 'o'), 'modal-cold');
  assert.throws(() => writeFileSync(join(cwd, 'o', 'more'), Buffer.alloc(2 << 20)), { code: 'ENOSPC' });
  const r = await virtual(cwd, 'cold-start', '--deployment', 'modal-cold', '--seed', '2', '--out', 'o');
  went(r, 2);
  oneLine(r.stderr, /No space left on device/);
  assert.deepEqual(readResult(join(cwd, 'o'), 'modal-cold'), before);
});

test('two runs at once into one folder: the second is refused', async (t) => {
  const cwd = folder(t);
  const long = sets({ '/duration': '47h', '/interval': '10s' });
  const { child, ended } = start(['run', COLD, '--clock', 'virtual', ...long, '--out', 'o'], { cwd });
  for (let i = 0; i < 100 && !readdirSync(cwd).includes('o'); i++) await sleep(20);
  await sleep(200);
  const second = await virtual(cwd, 'fan-out', '--out', 'o');
  went(second, 2);
  oneLine(second.stderr, /^--out o: another run is writing there/);
  child.kill('SIGINT');
  went(await ended, 130);
  assert.equal(readRun(join(cwd, 'o')).scenario.name, 'cold-start');
});

// Whoever edits the scenario in the middle of a run does not mix two of them.
test('the scenario is read once', async (t) => {
  const cwd = folder(t);
  const path = join(cwd, 's.json');
  const text = readFileSync(COLD, 'utf8').replace('"duration": "30s"', '"duration": "30min"');
  writeFileSync(path, text);
  const { ended } = start(['run', 's.json', '--clock', 'virtual', '--deployment', 'all', '--out', 'o'], { cwd });
  for (let i = 0; i < 500 && !readdirSync(cwd).includes('o'); i++) await sleep(10);
  writeFileSync(path, '{');
  const r = await ended;
  assert.ok([0, 1].includes(r.code), r.stderr);
  const { results } = readRun(join(cwd, 'o'));
  assert.equal(results.length, 6);
  assert.equal(new Set(results.map((one) => readResult(join(cwd, 'o'), one.deployment).scenario.sha256)).size, 1);
});

test('figures of each tool, server and script, where there is more than one', async (t) => {
  const cwd = folder(t);
  went(await virtual(cwd, 'spill-100k', ...sets({ '/objectives': ['p50(tool.call{tool=read}) < 1s', 'count(mcp.call{server=archive}) > 10'] }),
    '--out', 'o'), 0);
  const result = readResult(join(cwd, 'o'), 'tunnel');
  checkResult(result);
  const parts = Object.keys(result.metrics).filter((name) => name.includes('{'));
  assert.deepEqual(parts, ['bash', 'read', 'mcp'].map((tool) => `tool.call{tool=${tool}}`));
  assert.equal(parts.reduce((sum, name) => sum + result.metrics[name].count, 0), result.metrics['tool.call'].count);
  assert.equal(result.hops.calls, result.metrics['tool.call'].count);
});

test('what a limit refuses is shed, and in no latency', async (t) => {
  const cwd = folder(t);
  went(await virtual(cwd, 'fan-out', '--deployment', 'shed', '--out', 'o'), 0);
  const { ledger: { accounts }, metrics, hops, counters } = readResult(join(cwd, 'o'), 'shed');
  assert.ok(accounts.call.shed > 0);
  assert.deepEqual([accounts.call.shed, accounts.call.failed, hops.calls_shed], [accounts.sandbox.shed, 0, accounts.call.shed]);
  assert.deepEqual([hops.calls, metrics['tool.call'].count], [accounts.call.completed, accounts.call.completed]);
  assert.deepEqual([counters.http_4xx, counters.http_5xx], [0, 0]);
});

test('Ctrl-C while --verify runs: 130 within a moment, and there was progress', async (t) => {
  const cwd = folder(t);
  const long = sets({ '/duration': '47h', '/interval': '10s' });
  const { child, ended } = start(['run', COLD, '--clock', 'virtual', ...long, '--verify', '--progress', 'json', '--out', 'o'], { cwd });
  await sleep(2500);
  child.kill('SIGINT');
  const asked = Date.now();
  const r = await ended;
  went(r, 130);
  assert.ok(Date.now() - asked < 3000, `${Date.now() - asked} ms`);
  assert.ok(lines(r.stderr).length > 0 && lines(r.stderr).every((line) => JSON.parse(line).now_ns > 0), r.stderr);
  assert.deepEqual(readRun(join(cwd, 'o')).results, []);
});

test('out of memory: one clear line, and 4', async (t) => {
  const cwd = folder(t);
  const limited = (...args) =>
    run(['-c', 'ulimit -v 200000; exec "$0" "$@"', process.env.WINDTUNNEL, ...args], { cwd, program: '/bin/sh' });
  if ((await limited('--version')).code !== 0) return t.skip('this build needs more room for itself');
  const r = await limited('run', COLD, '--clock', 'virtual', ...sets({ '/load/agents/rate': '20000/s' }), '--progress', 'none', '--out', 'o');
  went(r, 4);
  oneLine(r.stderr, /memory/);
});

test('Ctrl-C: 130, and what was measured is there', async (t) => {
  const cwd = folder(t);
  const long = sets({ '/duration': '47h', '/interval': '10s' });
  const { child, ended } = start(['run', COLD, '--clock', 'virtual', ...long, '--deployment', 'all', '--out', 'o'], { cwd });
  await sleep(1500);
  child.kill('SIGINT');
  const r = await ended;
  went(r, 130);
  const out = join(cwd, 'o');
  assert.equal(readRun(out).interrupted, true);
  assert.equal(readRun(out).results.length, 1, 'the run under way, and no further one');
  const result = readResult(out, 'modal-cold');
  checkResult(result);
  assert.deepEqual([result.interrupted, result.valid], [true, false]);
  assert.ok(result.ledger.accounts.session.opened > 100 && result.end_ns > 0);
  assert.ok(readdirSync(out).includes('report.html'));
});

// The line that stands in a result for a ledger that does not balance.
const UNBALANCED = /^the ledger does not balance: account [a-z]+ has \d+ opened, \d+ ended, /;

for (const clock of ['virtual', 'live']) {
  test(`a ledger that forgets one end breaks the run: 4, and the table says so (${clock})`, async (t) => {
    const cwd = folder(t);
    const args = ['run', COLD, '--clock', clock, '--progress', 'none', '--out', 'o',
      ...sets({ '/duration': '2s', '/load/agents/rate': '5/s', '/objectives': [], '/live/schedule_lag': '1h' })];
    went(await run(args, { cwd }), 0);
    const r = await run(args, { cwd, program: process.env.WINDTUNNEL_DROPPED });
    went(r, 4);
    assert.match(r.stdout, /\nLedger \(NOT BALANCED\)\n/);
    assert.match(r.stdout, / DOES NOT BALANCE\n/);
    const result = readResult(join(cwd, 'o'), 'modal-cold');
    assert.equal(result.ledger.verdict, 'unbalanced');
    assert.equal(result.valid, false);
    const told = result.invalid_reasons.find((reason) => UNBALANCED.test(reason));
    assert.ok(told && r.stdout.includes(`  - ${told}\n`), `the line is printed: ${result.invalid_reasons.join('; ')}`);
  });
}

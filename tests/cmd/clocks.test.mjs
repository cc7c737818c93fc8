// Live beside virtual: the same scenario, seed and load on both clocks. docs/CALIBRATION.md says what is compared, how
// closely, and why.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { checkResult, cpuWatch, folder, live, readResult, run, scenario, sets, went } from './support.mjs';

// Loads and seeds that no cost of a host was fitted to.
const SEED = '20';
// Each link as long as one between cities; a worker's connections are never used twice, a user's are.
const FAR = Object.fromEntries(['client-orchestrator', 'runner-orchestrator', 'orchestrator-edge', 'connector-edge', 'connector-proxy',
  'proxy-mcp'].map((link) => [`/links/${link}/latency`, '20ms']));
const LOADS = {
  'cold-start': { deployment: 'modal-cold', set: { '/duration': '8s', '/load/agents/rate': '5/s' } },
  'fan-out': { deployment: 'unlimited', set: { '/duration': '8s', '/load/agents/rate': '80/min',
    '/scripts/sweep/turns/0/steps/0/calls/0/count': 30 } },
  'reconnect-storm': { deployment: 'retry', set: { '/duration': '14s', '/load/agents/rate': '7/s', '/tunnels/count': 8,
    '/faults/0/at': '3s', '/faults/0/for': '1s', '/faults/1/at': '6s', '/faults/1/for': '1s', '/faults/1/target': 'gateway/0-1',
    '/faults/2/at': '9s', '/faults/2/for': '2s' } },
  'spill-100k': { deployment: 'tunnel', set: { '/duration': '8s', '/load/agents/rate': '90/min' } },
  'long links': { file: fileURLToPath(new URL('faults.json', import.meta.url)), deployment: 'default', set: { '/duration': '8s',
    '/load/agents/rate': '5/s', ...FAR, '/links/runner-orchestrator/keep_alive': false } },
};
// What makes every sandbox start a fifth later, in virtual time alone.
const slower = (path, of) => ({ [path]: { scale: '120%', of } });
const LATE_STARTS = {
  'cold-start': slower('/runners/pool/cold_start', { profile: 'modal', regime: 'sequential' }),
  'fan-out': slower('/runners/pool/cold_start', { profile: 'modal', regime: 'burst' }),
  'spill-100k': slower('/runners/pool/cold_start', '200ms'),
};

const METRICS = ['session.total', 'tool.call', 'mcp.call', 'sandbox.start', 'spill.write', 'spill.read'];
const SHARE = 0.05;
const EXTRA_NS = 15e6;
// Whatever else the machine does makes a live run slower, never faster: one run in so many must agree.
const TRIES = 3;
// Where others have more than this part of the machine's CPUs, times tell of them.
const BUSY = 0.1;

const counts = (result) => ({ ...Object.fromEntries(['session', 'turn', 'call'].map((account) => {
  const { opened, completed } = result.ledger.accounts[account];
  return [account, { opened, completed }];
})), ...(result.faults.length === 0 && { deliveries: result.metrics['event.delivery'].count }) });

// Which medians differ, in words.
function differences(real, model) {
  const found = [];
  for (const name of METRICS) {
    const [a, b] = [real, model].map((r) => r.metrics[name].p50_ns);
    if (a === null && b === null) continue;
    if (a === null || b === null || Math.abs(a - b) > SHARE * b + EXTRA_NS)
      found.push(`p50(${name}): ${a / 1e6} ms live, ${b / 1e6} ms virtual`);
  }
  return found;
}

const file = (name) => LOADS[name].file ?? scenario(name);

async function model(cwd, name, out, more = {}) {
  const { deployment, set } = LOADS[name];
  const args = sets({ ...set, '/objectives': [], ...more });
  went(await run(['run', file(name), '--clock', 'virtual', '--seed', SEED, '--deployment', deployment, ...args, '--out', out], { cwd }), 0);
  return readResult(`${cwd}/${out}`, deployment);
}

// The live run, and what differs from the model: of the first run that agrees, or of the last try. `busy`: why no try
// could agree, whatever the model says.
async function measure(t, cwd, name, virtual) {
  const { deployment, set } = LOADS[name];
  const args = sets({ ...set, '/objectives': [] });
  let least = Infinity;
  for (let attempt = 1; ; attempt++) {
    const othersSince = cpuWatch();
    const { watched } = live(cwd, [file(name), '--seed', SEED, '--deployment', deployment, ...args, '--out', 'live']);
    const r = await watched;
    least = Math.min(least, othersSince());
    if (r.code !== 3) went(r, 0);
    const real = readResult(`${cwd}/live`, deployment);
    checkResult(real);
    assert.deepEqual(counts(real), counts(virtual), 'the same decisions, however busy the machine is');
    const differing = [...real.invalid_reasons, ...differences(real, virtual)];
    const busy = differing.length && least > BUSY &&
      `the machine is busy with other work, which has ${(100 * least).toFixed(0)} % of its CPUs`;
    if (differing.length === 0 || attempt === TRIES) return { real, differing, busy };
    t.diagnostic(`again: ${differing.join('; ')}`);
  }
}

for (const name of Object.keys(LOADS)) {
  test(`${name}: the clocks agree`, async (t) => {
    const cwd = folder(t);
    const virtual = await model(cwd, name, 'virtual');
    checkResult(virtual);
    const compared = METRICS.filter((metric) => virtual.metrics[metric].p50_ns !== null);
    assert.ok(compared.length >= 2, `medians to compare: ${compared}`);
    const { real, differing, busy } = await measure(t, cwd, name, virtual);
    for (const metric of compared)
      t.diagnostic(`p50(${metric}): ${real.metrics[metric].p50_ns / 1e6} ms live, ${virtual.metrics[metric].p50_ns / 1e6} ms virtual`);
    if (busy) return t.skip(busy);
    assert.deepEqual(differing, []);
    if (!LATE_STARTS[name]) return;
    const late = differences(real, await model(cwd, name, 'late', LATE_STARTS[name]));
    assert.ok(late.some((line) => line.startsWith('p50(sandbox.start)')), `starts that are a fifth late are seen: ${late}`);
  });
}

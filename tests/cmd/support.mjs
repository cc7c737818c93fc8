// The built program from outside: started, watched, stopped. WINDTUNNEL is its path.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, readdirSync, readlinkSync, rmSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export { sleep };

const program = process.env.WINDTUNNEL;
assert.ok(program, 'WINDTUNNEL must be the path of the built program');

export const CANONICAL = ['cold-start', 'fan-out', 'reconnect-storm', 'spill-100k'];
export const scenario = (name) => fileURLToPath(new URL(`../../scenarios/${name}.json`, import.meta.url));
const schema = JSON.parse(readFileSync(new URL('../../reports/result.schema.json', import.meta.url), 'utf8'));

// What a sanitizer says, in whichever process of a run, is never the end that was expected.
const SANITIZER = /(ERROR|WARNING): \w+Sanitizer|: runtime error: /;

// A sanitized build is several times slower: it shows how a run behaves, at a lower rate and however late its load comes.
export const SANITIZED = (process.env.SANITIZE ?? 'none') !== 'none';

const disks = new Set();

// A folder of this test alone, gone when the test is over.
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'wt-cmd-'));
  t.after(() => {
    for (const disk of disks) if (disk.startsWith(path) && disks.delete(disk)) execFileSync('umount', ['-l', disk]);
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}

// A disk of so many KiB at this place; false where that needs rights that we lack.
export function tinyDisk(path, kib) {
  mkdirSync(path);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', path], { stdio: 'ignore' });
  } catch {
    return false;
  }
  disks.add(path);
  return true;
}

// Starts the program, or another build of it, in `cwd`. `ended` resolves to how it went; after `patience` it is killed and that fails.
export function start(args, { cwd, env = {}, patience = 60_000, program: path = program }) {
  const child = spawn(path, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const out = [];
  const err = [];
  child.stdout.on('data', (d) => out.push(d));
  child.stderr.on('data', (d) => err.push(d));
  const ended = new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), patience);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const stderr = Buffer.concat(err).toString();
      resolve({ code: SANITIZER.test(stderr) ? 'sanitizer' : code, signal, stdout: Buffer.concat(out).toString(), stderr });
    });
  });
  return { child, pid: child.pid, ended };
}

// The first line that a role prints.
export async function ready(role) {
  let text = '';
  while (!text.includes('\n')) text += (await once(role.child.stdout, 'data'))[0].toString();
  return JSON.parse(text.split('\n')[0]);
}

export const run = (args, options) => start(args, options).ended;

export const sets = (values) => Object.entries(values).flatMap(([pointer, value]) =>
  ['--set', `${pointer}=${typeof value === 'string' ? value : JSON.stringify(value)}`]);

export const lines = (text) => text.split('\n').filter((line) => line !== '');

// Exactly one line, whole.
export function oneLine(text, pattern) {
  assert.match(text, /^[^\n]+\n$/, `one line was expected:\n${text}`);
  if (pattern) assert.match(text, pattern);
}

export const went = (r, code) =>
  assert.equal(r.code, code, `exit code ${r.code}${r.signal ? `, ${r.signal}` : ''}\n${r.stderr}${r.stdout}`);

// Results
// ----------------------------------------------------------------------------------------------------------

export const resultPath = (out, deployment, replicate = 0) => join(out, deployment, String(replicate), 'result.json');
export const readResult = (out, deployment, replicate) =>
  JSON.parse(readFileSync(resultPath(out, deployment, replicate), 'utf8'));
export const readRun = (out) => JSON.parse(readFileSync(join(out, 'run.json'), 'utf8'));
export const readHlog = (out, deployment, replicate = 0) =>
  readFileSync(join(out, deployment, String(replicate), 'intervals.hlog'));

// The text of a result without the object "host", which alone may differ between two runs of one seed.
export function withoutHost(out, deployment, replicate) {
  const text = readFileSync(resultPath(out, deployment, replicate), 'utf8');
  const cut = text.replace(/"host": ?\{[^{}]*\}/, '"host": {}');
  assert.notEqual(cut, text, 'a result has an object "host"');
  return cut;
}

const TYPES = {
  object: (v) => v !== null && typeof v === 'object' && !Array.isArray(v),
  array: Array.isArray,
  string: (v) => typeof v === 'string',
  integer: Number.isInteger,
  boolean: (v) => typeof v === 'boolean',
  null: (v) => v === null,
};

// As much of JSON Schema as the result's schema uses; what is not known here is an error, not passed over.
function complaints(rule, value, at) {
  const found = [];
  const all = (list) => list.forEach((c) => found.push(...c));
  const checks = {
    $ref: (ref) => all([complaints(schema.$defs[ref.replace('#/$defs/', '')], value, at)]),
    type: (types) => [types].flat().some((type) => TYPES[type](value)) || found.push(`${at}: is no ${types}`),
    const: (wanted) => value === wanted || found.push(`${at}: is not ${wanted}`),
    enum: (allowed) => allowed.includes(value) || found.push(`${at}: is none of ${allowed}`),
    minimum: (least) => typeof value !== 'number' || value >= least || found.push(`${at}: is below ${least}`),
    pattern: (p) => typeof value !== 'string' || new RegExp(p).test(value) || found.push(`${at}: does not match ${p}`),
    required: (keys) => all(keys.filter((key) => !(key in value)).map((key) => [`${at}: has no ${key}`])),
    properties: (rules) => TYPES.object(value) &&
      all(Object.keys(rules).filter((key) => key in value).map((key) => complaints(rules[key], value[key], `${at}/${key}`))),
    additionalProperties: (other) => {
      if (!TYPES.object(value)) return;
      const keys = Object.keys(value).filter((key) => !(key in (rule.properties ?? {})));
      all(keys.map((key) => (other === false ? [`${at}: has ${key}`] : complaints(other, value[key], `${at}/${key}`))));
    },
    prefixItems: (rules) => Array.isArray(value) &&
      all(rules.slice(0, value.length).map((r, i) => complaints(r, value[i], `${at}/${i}`))),
    items: (item) => Array.isArray(value) && item !== false &&
      all(value.slice((rule.prefixItems ?? []).length).map((v, i) => complaints(item, v, `${at}/${i}`))),
    minItems: (n) => !Array.isArray(value) || value.length >= n || found.push(`${at}: has fewer than ${n}`),
    maxItems: (n) => !Array.isArray(value) || value.length <= n || found.push(`${at}: has more than ${n}`),
  };
  for (const [key, wanted] of Object.entries(rule === true ? {} : rule)) {
    if (['$schema', 'title', 'description', '$defs'].includes(key)) continue;
    assert.ok(checks[key], `the schema uses ${key}`);
    checks[key](wanted);
  }
  return found;
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const ENDS = ['completed', 'failed', 'shed', 'lost', 'in_flight'];

// What holds for every result: the schema, the books, and that parts add up to their whole.
export function checkResult(result) {
  assert.deepEqual(complaints(schema, result, ''), []);
  assert.equal(result.ledger.verdict, 'balanced');
  for (const [name, a] of Object.entries(result.ledger.accounts))
    assert.equal(a.opened + a.carried_in, sum(ENDS.map((end) => a[end])) + a.carried_out, `account ${name}`);
  for (const way of result.flow_links) {
    if (result.clock === 'virtual') assert.equal(way.may_lose, null);
    for (const [name, f] of Object.entries(way.flows)) {
      const ended = f.decoded + f.returned + f.cut;
      assert.ok(ended === f.emitted || (way.may_lose && ended < f.emitted), `messages ${name}: ${f.emitted} and ${ended}`);
    }
  }
  assert.equal(result.flows_balanced, true);
  assert.equal(result.metrics['timer.lag'].count > 0, result.clock === 'live', 'only live are timers late');
  assert.equal(sum(Object.values(result.hops.hop).map((hop) => hop.sum_ns)), result.hops.total_ns, 'hops add up');
  for (const call of result.slowest_calls)
    assert.equal(sum(call.segments.map((s) => s.length_ns)), call.total_ns, `call ${call.call}`);
  for (const [name, rows] of Object.entries(result.intervals.metrics))
    assert.equal(sum(rows.map((row) => row[1])), result.metrics[name].count, `intervals of ${name}`);
  assert.equal(result.metrics['session.total'].count, result.ledger.accounts.session.completed);
}

// Processes of a live run
// -----------------------------------------------------------------------------------------------------------

function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { pid, name: text.slice(text.indexOf('(') + 1, text.lastIndexOf(')')), state: fields[0],
      parent: Number(fields[1]), started: fields[19] };
  } catch {
    return null; /* it has just gone */
  }
}

export const childrenOf = (pid) => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(stat)
  .filter((p) => p && p.parent === pid);
const isAlive = ({ pid, started }) => stat(pid)?.started === started && stat(pid).state !== 'Z';

// CPU time in ticks: of the whole machine, and of this process with all that it started and that has ended.
function cpuTicks() {
  const [user, nice, system, , , irq, softirq, steal] =
    lines(readFileSync('/proc/stat', 'utf8'))[0].split(/\s+/).slice(1).map(Number);
  const own = readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ').slice(11, 15).map(Number);
  return { machine: user + nice + system + irq + softirq + steal, own: sum(own) };
}

const TICK_MS = 10;

// What part of the machine's CPUs others had since `cpuWatch()`: call what it returned when all of one's own have ended.
export function cpuWatch() {
  const [ticks, at] = [cpuTicks(), Date.now()];
  return () => {
    const { machine, own } = cpuTicks();
    const others = machine - ticks.machine - (own - ticks.own);
    return (others * TICK_MS) / ((Date.now() - at) * availableParallelism());
  };
}

const socketsOf = (pid) => {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      } catch {
        return undefined;
      }
    });
  } catch {
    return [];
  }
};

const LISTENING = '0A';

// The kernel tells listeners first, then tens of thousands of connections that it has not forgotten yet: those are not read.
function listenerLines() {
  const fd = openSync('/proc/net/tcp');
  try {
    const piece = Buffer.alloc(16384);
    for (let text = ''; ;) {
      const length = readSync(fd, piece);
      text += piece.toString('latin1', 0, length);
      const fields = text.split('\n').slice(1, -1).map((line) => line.trim().split(/\s+/));
      const others = fields.findIndex((f) => f[3] !== LISTENING);
      if (others >= 0 || length === 0) return fields.slice(0, others >= 0 ? others : undefined);
    }
  } finally {
    closeSync(fd);
  }
}

const listeners = () => listenerLines().map((f) => ({ inode: f[9], port: parseInt(f[1].slice(9), 16),
  ip: f[1].slice(0, 8).match(/../g).reverse().map((h) => parseInt(h, 16)).join('.') }));

// Looks at a live run while it lasts, and knows afterwards what of it may not be left.
export class Witness {
  constructor(supervisor, directory) {
    this.supervisor = supervisor;
    this.directory = directory; /* TMPDIR of the run */
    this.processes = new Map();
    this.ips = new Set();
  }

  look() {
    const listening = listeners();
    for (const p of childrenOf(this.supervisor)) {
      this.processes.set(`${p.pid} ${p.started}`, p);
      const inodes = new Set(socketsOf(p.pid));
      for (const l of listening) if (inodes.has(l.inode)) this.ips.add(l.ip);
    }
  }

  // Where processes of this name listen now.
  listenersOf(name) {
    const inodes = new Set(this.running().filter((p) => p.name === name).flatMap((p) => socketsOf(p.pid)));
    return listeners().filter((l) => inodes.has(l.inode));
  }

  names() {
    return [...this.processes.values()].map((p) => p.name);
  }

  running() {
    return [...this.processes.values()].filter(isAlive);
  }

  async watch(ended, every = 100) {
    let over = false;
    ended.then(() => { over = true; });
    while (!over) {
      this.look();
      await sleep(every);
    }
    return ended;
  }

  // Children that the kernel ends with their parent are given a moment.
  async nothingIsLeft({ folders = true } = {}) {
    assert.ok(this.processes.size >= 4, `a run has several processes, seen: ${this.names()}`);
    assert.ok([...this.ips].every((ip) => /^127\.(6[4-9]|[7-9]\d|1[0-8]\d|19[01])\./.test(ip)), [...this.ips].join());
    assert.ok(this.ips.size >= 1 && this.ips.size <= 2, `addresses of a run: ${[...this.ips]}`);
    for (let i = 0; i < 50 && this.running().length; i++) await sleep(20);
    assert.deepEqual(this.running(), [], 'no process is left');
    assert.deepEqual(listeners().filter((l) => this.ips.has(l.ip)), [], 'no listener is left');
    if (folders) assert.deepEqual(readdirSync(this.directory), [], 'no folder is left');
  }
}

// A live run with a folder of its own for what it keeps meanwhile. `every`: milliseconds between two looks at it.
export function live(dir, args, options = {}) {
  const directory = join(dir, 'tmp');
  if (!existsSync(directory)) mkdirSync(directory);
  const started = start(['run', ...args], { cwd: dir, ...options, env: { TMPDIR: directory, ...options.env } });
  const witness = new Witness(started.pid, directory);
  return { ...started, witness, watched: witness.watch(started.ended, options.every) };
}

export async function until(condition, what, patience = 10_000) {
  for (const end = Date.now() + patience; !condition(); await sleep(20)) assert.ok(Date.now() < end, what);
}

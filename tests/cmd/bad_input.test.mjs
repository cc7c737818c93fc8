// Whatever is wrong with the input is told in one line, and nothing is started.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { folder, oneLine, run, scenario, went } from './support.mjs';

const COLD = scenario('cold-start');

// Files that the tests below name.
const FILES = {
  'cut.json': '{\n  "schema": "windtunnel.scenario/1",\n  "name": ',
  'typo.json': '{\n  "schema": "windtunnel.scenario/1",\n  "name": "x",\n  "duratoin": "5s"\n}\n',
  'twice.json': '{"name": "x",\n "name": "y"}\n',
  'unit.json': `{
  "schema": "windtunnel.scenario/1", "name": "x", "duration": "5 sec",
  "load": {"l": {"script": "s", "rate": "1/s"}}, "scripts": {"s": {"turns": [{}]}}
}
`,
  'empty.json': '',
};

const RUNNER = ['--orchestrator', 'http://127.0.0.1:1', '--environment', 'e', '--environment-key', 'k'];

const REFUSED = [
  [[], /^usage: windtunnel COMMAND/],
  [['rnu'], /unknown command "rnu"; did you mean run\?/],
  [['--nothing'], /unknown command/],
  // Roles alone: the option is named, not a document that nobody wrote.
  [['runner', ...RUNNER, '--workers', '0'], /^--workers: "0" is not a whole number from 1 to 10000$/m],
  [['runner', ...RUNNER, '--cold-start', '3'], /^--cold-start: "3" has no unit/],
  [['edge', '--certs', 'c', '--tunnels', '0'], /^--tunnels: "0" is not a whole number from 1 to 10000$/m],
  [['edge', '--certs', 'c', '--mcp', 'Bad_Name'], /^--mcp: "Bad_Name" is no valid name/],
  [['gateway', '--edge', '127.0.0.1:1', '--certs', 'c', '--route', 'a=http://127.0.0.1:1', '--connections', '0'],
    /^--connections: "0" is not a whole number from 1 to 64$/m],
  ...['run', 'check'].flatMap((command) => [
    [[command], new RegExp(`^usage: windtunnel ${command} SCENARIO.*: an argument is missing`)],
    [[command, 'missing.json'], /^missing\.json:.*No such file/],
    [[command, '.'], /Is a directory/],
    [[command, 'empty.json'], /^empty\.json:.*not valid JSON/],
    [[command, 'cut.json'], /^cut\.json:3:\d+: .*not valid JSON/],
    [[command, 'twice.json'], /^twice\.json:.*name/],
    [[command, 'typo.json'], /^typo\.json:4:3: \/duratoin: unknown key "duratoin"; did you mean "duration"\?/],
    [[command, 'unit.json'], /^unit\.json:2:\d+: \/duration: /],
    [[command, COLD, COLD], /^usage: .*: ".*cold-start\.json" is one argument too many$/m],
    [[command, COLD, '--set', '/duration=5'], /\/duration: must be a duration such as .* no unit/],
    [[command, COLD, '--set', '/duration=5fortnights'], /\/duration: .*duration/],
    [[command, COLD, '--set', '/load/agents/rat=4/s'], /unknown key "rat"; did you mean "rate"\?/],
    [[command, COLD, '--set', 'duration=5s'], /^--set duration=5s: .*\/json\/pointer=value/],
    [[command, COLD, '--set', '/duration'], /^--set \/duration: .*\/json\/pointer=value/],
    [[command, COLD, '--set', '/faults/3/at=1s'], /^--set \/faults\/3\/at=1s: /],
    [[command, COLD, '--set'], /^--set: needs a value: POINTER=VALUE/],
    [[command, COLD, '--set', '/objectives=["p50(tool.cal) < 3s"]'], /\/objectives\/0: .*"tool\.cal".*tool\.call/],
    [[command, COLD, '--deployment', 'modal-cool'], /has no deployment "modal-cool"; allowed: all, modal-cold/],
    [[command, COLD, '--deploiment', 'x'], /^--deploiment: unknown option; did you mean --deployment\?/],
  ]),
  [['run', COLD, '--seed', '9223372036854775808'], /^--seed: "9223372036854775808" is not a whole number from 0 to 9223372036854775807/],
  [['run', COLD, '--seed=-1'], /^--seed: "-1" is not a whole number/],
  [['run', COLD, '--seed', '1.5'], /^--seed: /],
  [['run', COLD, '--seed', ''], /^--seed: /],
  [['run', COLD, '--replicates', '0'], /^--replicates: "0" is not a whole number from 1 to 1000$/m],
  [['run', COLD, '--replicates', '1001'], /^--replicates: /],
  [['run', COLD, '--clock', 'sundial'], /^--clock: "sundial" is none of live\|virtual/],
  [['run', COLD, '--progress', 'bar'], /^--progress: "bar" is none of auto\|plain\|json\|none/],
  [['run', COLD, '--verify=yes', '--clock', 'virtual'], /^--verify: takes no value/],
  [['run', COLD, '--verify'], /^--verify: is for --clock virtual/],
  [['run', COLD, '--clock', 'virtual', '--flight', 'f'], /^--flight: is for --clock live/],
  [['run', COLD, '--deployment', 'all', '--flight', 'f'], /^--flight: keeps the logs of one run/],
  [['run', COLD, '--flight', 'unit.json'], /^--flight unit\.json: Not a directory/],
  [['run', COLD, '--flight', '/proc/1/f'], /^--flight \/proc\/1\/f: /],
  [['run', COLD, '--out', 'unit.json/below'], /^cannot make folder unit\.json\/below: Not a directory/],
  [['run', COLD, '--clock', 'virtual', '--out', 'o'.repeat(1024)], /^--out: longer than 1023 bytes$/m],
  [['report'], /^usage: windtunnel report/],
  [['report', 'missing'], /^cannot read missing\/run\.json: No such file/],
  [['replay', 'missing'], /^missing: no flight logs/],
  [['runner'], /--orchestrator/],
  [['edge'], /--certs/],
  [['gateway'], /--certs/],
];

for (const [args, says] of REFUSED) {
  test(`refused: windtunnel ${args.map((arg) => arg.replace(COLD, 'cold-start.json')).join(' ')}`, async (t) => {
    const dir = folder(t);
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(dir, name), text);
    const r = await run(args, { cwd: dir });
    went(r, 2);
    oneLine(r.stderr, says);
    assert.equal(r.stdout, '');
    assert.deepEqual(readdirSync(dir).sort(), Object.keys(FILES).sort(), 'nothing was written');
  });
}

// Somebody else's listener.
async function taken(t) {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `127.0.0.1:${server.address().port}`;
}

const LISTENERS = [
  ['edge --public', (address) => ['edge', '--certs', 'c', '--public', address]],
  ['edge --connectors', (address) => ['edge', '--certs', 'c', '--connectors', address]],
  ['edge --entrance', (address) => ['edge', '--certs', 'c', '--entrance', address]],
  ['mock-mcp', (address) => ['--listen', address], 'MOCK_MCP'],
  ['mock-orchestrator', (address) => ['--listen', address, '--api-key', 'K', '--environment', 'env_x', '--environment-key', 'K2'],
    'MOCK_ORCHESTRATOR'],
];

for (const [name, args, program] of LISTENERS) {
  test(`${name}: a port in use is told in one line, in the same words`, async (t) => {
    const address = await taken(t);
    const r = await run(args(address), { cwd: folder(t), patience: 10_000, ...(program && { program: process.env[program] }) });
    went(r, 2);
    oneLine(r.stderr, new RegExp(`^(windtunnel edge|${name}): cannot listen on ${address}: it is in use by another program; port 0 takes any free one$`, 'm'));
    assert.equal(r.stdout, '');
  });
}

test('a missing certificate is told in one line', async (t) => {
  const cwd = folder(t);
  const gateway = ['gateway', '--edge', '127.0.0.1:1', '--route', 'a=http://127.0.0.1:1', '--certs'];
  for (const [args, file] of [[[...gateway, 'none'], 'none/outer-ca.pem'], [[...gateway, 'some'], 'some/proxy-0.pem'],
    [['edge', '--certs', 'some'], 'some/edge.pem']]) {
    mkdirSync(join(cwd, 'some'), { recursive: true });
    writeFileSync(join(cwd, 'some', 'outer-ca.pem'), '');
    const r = await run(args, { cwd, patience: 10_000 });
    went(r, 2);
    oneLine(r.stderr, new RegExp(`^${file}: is not there[;,] `));
    assert.equal(r.stdout, '');
  }
});

test('help that cannot be written is no success', async (t) => {
  const cwd = folder(t);
  for (const args of ['--help', '--version', 'run --help', 'edge --help']) {
    const r = await run(['-c', `"$0" ${args} > /dev/full`, process.env.WINDTUNNEL], { cwd, program: '/bin/sh' });
    assert.notEqual(r.code, 0, args);
    oneLine(r.stderr, /^standard output: No space left on device/);
  }
});

test('help goes to standard output, and says how each command is used', async (t) => {
  const cwd = folder(t);
  const all = await run(['--help'], { cwd });
  went(all, 0);
  assert.equal(all.stderr, '');
  const commands = [...all.stdout.matchAll(/^ {2}([a-z]+) {2,}/gm)].map((m) => m[1]);
  assert.ok(commands.includes('run') && commands.includes('replay'), all.stdout);
  for (const command of commands) {
    const one = await run([command, '--help'], { cwd });
    went(one, 0);
    assert.match(one.stdout, new RegExp(`^usage: windtunnel ${command} `));
    assert.match(one.stdout, /\nexample:\n/);
  }
});

test('check prints a plan with every default, which is a scenario again', async (t) => {
  const cwd = folder(t);
  for (const args of [[], ['--set', '/duration=7s'], ['--deployment', 'modal-warm'], ['--deployment=modal-prewarmed']]) {
    const first = await run(['check', COLD, ...args], { cwd });
    went(first, 0);
    assert.equal(first.stderr, '');
    const plan = JSON.parse(first.stdout);
    assert.equal(plan.schema, 'windtunnel.scenario/1');
    writeFileSync(join(cwd, 'resolved.json'), first.stdout);
    const second = await run(['check', 'resolved.json'], { cwd });
    went(second, 0);
    assert.equal(second.stdout, first.stdout, 'a resolved plan resolves to itself');
  }
});

// What the vendor's SDK worker made our control plane do is recorded, and replayed from the flight log alone.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const { WINDTUNNEL, MOCK_ORCHESTRATOR } = process.env;
assert.ok(WINDTUNNEL && MOCK_ORCHESTRATOR, 'WINDTUNNEL and MOCK_ORCHESTRATOR name the programs');
const here = path.dirname(fileURLToPath(import.meta.url));

function record(directory) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--test', path.join(here, 'sdk_worker.test.mjs')], {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, MOCK_FLIGHT: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (text) => { said += text; });
    child.stderr.on('data', (text) => { said += text; });
    child.once('exit', (code) => resolve({ code, said }));
  });
}

const replay = (directory) => spawnSync(WINDTUNNEL, ['replay', directory], { encoding: 'utf8' });

test('a session with the real worker is replayed to the bit', { timeout: 150_000 }, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'windtunnel-flight-'));
  t.after(() => rmSync(directory, { recursive: true }));

  const recorded = await record(directory);
  assert.equal(recorded.code, 0, recorded.said);
  assert.deepEqual(readdirSync(directory), ['mock-orchestrator.flight']);
  const log = path.join(directory, 'mock-orchestrator.flight');

  const same = replay(directory);
  assert.equal(same.status, 0, same.stderr);
  assert.match(same.stdout, /[1-9]\d* turns, [1-9]\d* events, [1-9]\d* effects: the same, to the bit/);

  const bytes = readFileSync(log);
  for (const share of [0.1, 0.5, 0.9]) {
    const wrong = Buffer.from(bytes);
    wrong[Math.floor(wrong.length * share)] ^= 0x04;
    writeFileSync(log, wrong);
    const differs = replay(directory);
    assert.notEqual(differs.status, 0);
    assert.match(differs.stderr, /mock-orchestrator\.flight: frame \d+ at byte \d+ is damaged/);
  }
});

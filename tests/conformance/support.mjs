// Shared by the conformance tests: starts a mock, reads its one ready line, stops it.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

// The first line of stdout, parsed; later lines are discarded. A mock that ends
// or says nothing within ten seconds fails the test with what it wrote to stderr.
export async function startMock(binary, args) {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text) => {
    complaint = (complaint + text).slice(-8192);
  });
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, error }));
    child.once('exit', (code, signal) => resolve({ code, signal, error: null }));
  });
  const lines = createInterface({ input: child.stdout });
  const ready = await new Promise((resolve, reject) => {
    const fail = (why) => {
      child.kill('SIGKILL');
      reject(new Error(`${binary}: ${why}; stderr: ${complaint || '(empty)'}`));
    };
    const timer = setTimeout(() => fail('no ready line within 10 s'), 10_000);
    lines.once('line', (line) => {
      clearTimeout(timer);
      try {
        resolve(JSON.parse(line));
      } catch {
        fail(`the ready line is not JSON: ${line}`);
      }
    });
    ended.then((end) => {
      clearTimeout(timer);
      fail(`ended before it was ready (${end.error ?? end.signal ?? end.code})`);
    });
  });
  lines.on('line', () => {});
  return {
    ready,
    complaint: () => complaint,
    // Sends SIGTERM and waits for the end. What it resolves to is asserted by the caller.
    async terminate() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      const end = await ended;
      clearTimeout(timer);
      return end;
    },
  };
}

// Calls probe until it returns something truthy, and returns that.
export async function until(what, probe, timeoutMs = 15_000, pauseMs = 50) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await probe();
    if (seen) return seen;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name} to the path of the binary under test`);
  return value;
}

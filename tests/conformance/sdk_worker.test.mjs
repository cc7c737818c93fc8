// The published SDK, unchanged, as client and as worker of mock-orchestrator.
// MOCK_ORCHESTRATOR is the path of the binary.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import Anthropic, { AuthenticationError, NotFoundError } from '@anthropic-ai/sdk';

import { required, startMock, until } from './support.mjs';

const API_KEY = 'sk-ant-api03-conformance';
const ENVIRONMENT = 'env_conformance';
const ENVIRONMENT_KEY = 'sk-ant-oat01-conformance';

let mock;
let baseURL;
const clientWith = (apiKey) => new Anthropic({ apiKey, baseURL, maxRetries: 0, timeout: 20_000, logLevel: 'off' });

before(async () => {
  mock = await startMock(required('MOCK_ORCHESTRATOR'), [
    '--listen', '127.0.0.1:0',
    '--api-key', API_KEY,
    '--environment', ENVIRONMENT,
    '--environment-key', ENVIRONMENT_KEY,
    ...(process.env.MOCK_FLIGHT ? ['--flight', process.env.MOCK_FLIGHT] : []),
  ]);
  assert.match(mock.ready.listening, /^http:\/\/127\.0\.0\.1:\d+$/);
  baseURL = mock.ready.listening;
});

// Also the last assertion of the file: whatever happened, SIGTERM ends the mock with 0.
after(async () => {
  if (!mock) return;
  const end = await mock.terminate();
  assert.deepEqual([end.code, end.signal], [0, null], mock.complaint());
});

async function createAgent(client, name) {
  return client.beta.agents.create({
    name,
    model: 'claude-sonnet-4-5',
    tools: [{ type: 'agent_toolset_20260401' }],
  });
}

function assertHasKeys(object, keys, what) {
  for (const key of keys) assert.ok(key in object, `${what} lacks the required field "${key}"`);
}

// Every event of the stream until the turn ends.
async function collectTurn(stream) {
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (event.type === 'session.status_idle' && event.stop_reason.type === 'end_turn') return events;
  }
  throw new Error(`the stream ended before the turn did: ${events.map((event) => event.type).join(' ')}`);
}

// The first position of each type, in the order given, each after the one before.
function assertOrder(events, types) {
  let from = 0;
  for (const type of types) {
    const at = events.findIndex((event, index) => index >= from && event.type === type);
    assert.notEqual(at, -1, `${type} is missing or too early in ${events.map((event) => event.type).join(' ')}`);
    from = at + 1;
  }
}

const textOf = (event) => event.content.filter((block) => block.type === 'text').map((block) => block.text).join('');

// The token is whichever word of the command hashes to what the sandbox answered, so
// that the test does not depend on how the command feeds sha256sum.
function assertTokenWasHashed(command, answeredHash) {
  assert.match(command, /sha256sum/);
  const words = command.match(/[A-Za-z0-9_-]{16,}/g) ?? [];
  const hashes = words.flatMap((word) =>
    [word, `${word}\n`].map((bytes) => createHash('sha256').update(bytes).digest('hex')));
  assert.ok(hashes.includes(answeredHash), `no word of ${JSON.stringify(command)} hashes to ${answeredHash}`);
}

test('a session is served by the SDK worker', { timeout: 60_000 }, async (t) => {
  const client = clientWith(API_KEY);
  const workdir = await mkdtemp(join(tmpdir(), 'windtunnel-conformance-'));
  const stopWorker = new AbortController();
  let workerRun = Promise.resolve();
  t.after(async () => {
    stopWorker.abort();
    await workerRun.catch(() => {});
    await rm(workdir, { recursive: true, force: true });
  });

  const agent = await createAgent(client, 'conformance worker');
  assertHasKeys(agent, ['id', 'archived_at', 'created_at', 'description', 'execution_identity', 'mcp_servers', 'metadata',
    'model', 'multiagent', 'name', 'skills', 'system', 'tools', 'type', 'updated_at', 'version'], 'agent');
  assert.match(agent.id, /^agent_/);
  assert.equal(agent.type, 'agent');

  const session = await client.beta.sessions.create({ agent: agent.id, environment_id: ENVIRONMENT, title: 'one call' });
  assertHasKeys(session, ['id', 'agent', 'archived_at', 'budget', 'created_at', 'environment_id', 'metadata',
    'outcome_evaluations', 'resources', 'stats', 'status', 'title', 'type', 'updated_at', 'usage', 'vault_ids'], 'session');
  assert.match(session.id, /^sesn_/);
  assert.equal(session.agent.id, agent.id);
  assert.equal(session.environment_id, ENVIRONMENT);
  assert.deepEqual(session.agent.skills, []);
  assert.deepEqual(session.resources, []);

  const stream = await client.beta.sessions.events.stream(session.id);
  const turn = collectTurn(stream);

  const worker = client.beta.environments.work.worker({
    environmentId: ENVIRONMENT,
    environmentKey: ENVIRONMENT_KEY,
    workdir,
    maxIdleMs: 500,
    workerId: 'conformance-worker',
    signal: stopWorker.signal,
  });
  workerRun = worker.run();
  workerRun.catch(() => {});

  const sent = await client.beta.sessions.events.send(session.id, {
    events: [{ type: 'user.message', content: [{ type: 'text', text: 'Hash a token, please.' }] }],
  });
  assert.equal(sent.data.length, 1);
  assert.equal(sent.data[0].type, 'user.message');
  assert.match(sent.data[0].id, /^sevt_/);

  const seen = await Promise.race([
    turn,
    workerRun.then(() => { throw new Error('the worker ended before the turn did'); }),
  ]);
  assertOrder(seen, ['session.status_running', 'span.model_request_start', 'agent.tool_use', 'user.tool_result',
    'agent.message', 'session.status_idle']);
  assert.equal(new Set(seen.map((event) => event.id)).size, seen.length, 'an event was delivered twice');

  const toolUse = seen.find((event) => event.type === 'agent.tool_use');
  assert.equal(seen.filter((event) => event.type === 'agent.tool_use').length, 1);
  assert.equal(toolUse.name, 'bash');
  assert.equal(typeof toolUse.input.command, 'string');

  const history = [];
  for await (const event of client.beta.sessions.events.list(session.id, { limit: 1000 })) history.push(event);
  assertOrder(history, ['user.message', 'session.status_running', 'agent.tool_use', 'user.tool_result', 'agent.message',
    'session.status_idle']);
  for (const event of history) {
    assertHasKeys(event, ['id', 'type', 'processed_at'], event.type);
    assert.notEqual(event.processed_at, null, `${event.type} was never processed`);
  }
  const stored = new Map(history.map((event) => [event.id, event]));
  for (const event of seen) assert.ok(stored.has(event.id), `${event.type} was streamed and is not in the history`);

  const result = history.find((event) => event.type === 'user.tool_result');
  assert.equal(result.tool_use_id, toolUse.id);
  assert.equal(result.is_error, false);
  const [hash] = textOf(result).match(/\b[0-9a-f]{64}\b/) ?? [];
  assert.ok(hash, `no SHA-256 in ${JSON.stringify(result.content)}`);
  assertTokenWasHashed(stored.get(toolUse.id).input.command, hash);
  const message = history.find((event) => event.type === 'agent.message');
  assert.ok(textOf(message).includes(hash), `the message does not quote the result: ${textOf(message)}`);
  assert.equal((await client.beta.sessions.retrieve(session.id)).status, 'idle');

  // The list of work items takes the environment key, a single item the API key.
  const workerClient = new Anthropic({ apiKey: null, authToken: ENVIRONMENT_KEY, baseURL, maxRetries: 0, logLevel: 'off' });
  let item;
  for await (const candidate of workerClient.beta.environments.work.list(ENVIRONMENT)) {
    if (candidate.data.id === session.id) item = candidate;
  }
  assert.ok(item, 'the work item is not in the list');
  const stopped = await until('the work item is stopped', async () => {
    const now = await client.beta.environments.work.retrieve(item.id, { environment_id: ENVIRONMENT });
    return now.state === 'stopped' ? now : null;
  });
  assertHasKeys(stopped, ['id', 'acknowledged_at', 'created_at', 'data', 'environment_id', 'latest_heartbeat_at', 'metadata',
    'secret', 'started_at', 'state', 'stop_requested_at', 'stopped_at', 'type'], 'work item');
  assert.equal(stopped.secret, null);
  for (const field of ['acknowledged_at', 'started_at', 'latest_heartbeat_at', 'stopped_at']) {
    assert.ok(Number.isFinite(Date.parse(stopped[field])), `${field} is not a time: ${stopped[field]}`);
  }
  const stats = await client.beta.environments.work.stats(ENVIRONMENT);
  assert.equal(stats.type, 'work_queue_stats');
  assert.equal(stats.workers_polling, 1);

  stopWorker.abort();
  await workerRun.catch((error) => {
    assert.ok(stopWorker.signal.aborted, String(error));
  });
});

test('errors and pages are those of the API', { timeout: 30_000 }, async (t) => {
  await t.test('a wrong API key', async () => {
    await assert.rejects(createAgent(clientWith('sk-ant-api03-wrong'), 'nobody'), (error) => {
      assert.ok(error instanceof AuthenticationError, `${error.name}: ${error.message}`);
      assert.equal(error.status, 401);
      assert.equal(error.type, 'authentication_error');
      assert.ok(error.requestID, 'no request-id header');
      assert.equal(error.error.type, 'error');
      return true;
    });
  });

  await t.test('a wrong environment key ends the poller', async () => {
    const poller = clientWith(API_KEY).beta.environments.work.poller({
      environmentId: ENVIRONMENT, environmentKey: 'sk-ant-oat01-wrong', drain: true, blockMs: null,
    });
    await assert.rejects(async () => {
      for await (const item of poller) assert.fail(`claimed ${item.id}`);
    }, AuthenticationError);
  });

  const client = clientWith(API_KEY);

  await t.test('an unknown session', async () => {
    const isNotFound = (error) => error instanceof NotFoundError && error.status === 404 && error.type === 'not_found_error';
    await assert.rejects(client.beta.sessions.retrieve('sesn_unknown').asResponse(), isNotFound);
    await assert.rejects(client.beta.sessions.events.stream('sesn_unknown'), isNotFound);
    await assert.rejects(client.beta.sessions.events.send('sesn_unknown', {
      events: [{ type: 'user.message', content: [{ type: 'text', text: 'anyone?' }] }],
    }), isNotFound);
  });

  await t.test('pages of a list', async () => {
    const created = [];
    for (let i = 0; i < 5; i += 1) created.push((await createAgent(client, `page ${i}`)).id);

    const first = await client.beta.agents.list({ limit: 2 });
    assert.equal(first.data.length, 2);
    assert.equal(typeof first.next_page, 'string');
    const second = await first.getNextPage();
    assert.equal(second.data.length, 2);

    const listed = [];
    for await (const agent of client.beta.agents.list({ limit: 2 })) listed.push(agent.id);
    assert.equal(new Set(listed).size, listed.length, 'an agent was listed twice');
    for (const id of created) assert.ok(listed.includes(id), `${id} is not listed`);
  });
});

// The official MCP client against mock-mcp; MOCK_MCP is the path of the binary.
// With MCP_TUNNEL_URL and MCP_TUNNEL_HOST also through an entrance that routes by the Host header.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import { after, before, test } from 'node:test';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ErrorCode, McpError } from '@modelcontextprotocol/sdk/types.js';

import { required, startMock } from './support.mjs';

// The body of a response as fetch has it. Readable.toWeb of Node 18 throws where nobody catches when a body is cancelled.
function bodyOf(response) {
  const chunks = response[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void response.destroy(),
  });
}

// A fetch that says which host it wants; Node's own forbids that header. One agent
// each, so that its connections can be closed at the end.
function fetchWithHost(host, agents) {
  return async (input, init = {}) => {
    const url = new URL(input);
    const secure = url.protocol === 'https:';
    const headers = Object.fromEntries(new Headers(init.headers).entries());
    headers.host = host;
    const body = init.body == null ? null : Buffer.from(init.body);
    if (body) headers['content-length'] = String(body.length);
    const response = await new Promise((resolve, reject) => {
      const request = (secure ? https : http).request(url, {
        method: init.method ?? 'GET',
        headers,
        agent: secure ? agents.https : agents.http,
        servername: secure ? host.replace(/:\d+$/, '') : undefined,
        signal: init.signal ?? undefined,
      }, resolve);
      request.once('error', reject);
      request.end(body ?? undefined);
    });
    const answered = new Headers();
    for (let i = 0; i < response.rawHeaders.length; i += 2) {
      answered.append(response.rawHeaders[i], response.rawHeaders[i + 1]);
    }
    const bodiless = [101, 204, 205, 304].includes(response.statusCode);
    if (bodiless) response.resume();
    return new Response(bodiless ? null : bodyOf(response), {
      status: response.statusCode,
      statusText: response.statusMessage,
      headers: answered,
    });
  };
}

async function connect(url, fetch) {
  const client = new Client({ name: 'windtunnel-conformance', version: '0.0.0' });
  const errors = [];
  const transport = new StreamableHTTPClientTransport(new URL(url), fetch ? { fetch } : undefined);
  await client.connect(transport);
  client.onerror = (error) => errors.push(error);
  return { client, transport, errors };
}

const sizeOf = (result) => {
  assert.notEqual(result.isError, true, JSON.stringify(result.content).slice(0, 500));
  return result.content.reduce((sum, block) => {
    assert.equal(block.type, 'text');
    return sum + Buffer.byteLength(block.text);
  }, 0);
};

// What a client of any entrance to the server must see.
async function exercise(t, url, fetch) {
  const { client, transport, errors } = await connect(url, fetch);
  t.after(() => client.close());

  const server = client.getServerVersion();
  assert.equal(typeof server.name, 'string');
  assert.ok(client.getServerCapabilities().tools, 'no tools capability');
  assert.ok(transport.protocolVersion, 'no protocol version was agreed on');
  await client.ping();

  await t.test('tools/list', async () => {
    const tools = new Map();
    let cursor;
    do {
      const page = await client.listTools(cursor ? { cursor } : undefined);
      for (const tool of page.tools) tools.set(tool.name, tool);
      cursor = page.nextCursor;
    } while (cursor);
    assert.ok(tools.has('echo'), [...tools.keys()].join(' '));
    assert.ok(tools.has('generate'), [...tools.keys()].join(' '));
    for (const tool of tools.values()) assert.equal(tool.inputSchema.type, 'object', tool.name);
    assert.ok(tools.get('echo').inputSchema.properties.text);
    assert.ok(tools.get('generate').inputSchema.properties.bytes);
    assert.ok(tools.get('generate').inputSchema.properties.delay_ms);
  });

  await t.test('echo gives back what it got', async () => {
    for (const text of ['hello', '', 'quote " backslash \\ newline \n tab \t nul \u0000', 'Käse, 風洞, 🌪️', 'x'.repeat(70_000)]) {
      const result = await client.callTool({ name: 'echo', arguments: { text } });
      assert.notEqual(result.isError, true);
      assert.equal(result.content.map((block) => block.text).join(''), text);
    }
  });

  await t.test('generate gives exactly as many bytes', async () => {
    for (const bytes of [0, 1, 1000, 65_536, 1_000_000]) {
      assert.equal(sizeOf(await client.callTool({ name: 'generate', arguments: { bytes } })), bytes);
    }
  });

  await t.test('generate waits', async () => {
    const start = process.hrtime.bigint();
    assert.equal(sizeOf(await client.callTool({ name: 'generate', arguments: { bytes: 10, delay_ms: 300 } })), 10);
    const tookMs = Number(process.hrtime.bigint() - start) / 1e6;
    assert.ok(tookMs >= 295, `answered after ${tookMs} ms`);
  });

  await t.test('concurrent calls do not wait for each other and are not mixed up', async () => {
    const sizes = Array.from({ length: 16 }, (_, i) => 1000 + i * 777);
    const timed = async (delayMs) => {
      const start = process.hrtime.bigint();
      const results = await Promise.all([
        ...sizes.map((bytes) => client.callTool({ name: 'generate', arguments: { bytes, delay_ms: delayMs } })),
        ...sizes.map((bytes) => client.callTool({ name: 'echo', arguments: { text: `call ${bytes}` } })),
      ]);
      sizes.forEach((bytes, i) => {
        assert.equal(sizeOf(results[i]), bytes);
        assert.equal(results[sizes.length + i].content[0].text, `call ${bytes}`);
      });
      return Number(process.hrtime.bigint() - start) / 1e6;
    };
    // If only one of them waits for another, the delay passes twice, however fast the machine: below that is proof. A machine
    // that was too slow to show it may try once more, with a delay that leaves it time.
    let delayMs = 500;
    let tookMs = await timed(delayMs);
    if (tookMs >= 2 * delayMs) tookMs = await timed(delayMs = 4000);
    assert.ok(tookMs < 2 * delayMs, `16 calls of ${delayMs} ms took ${tookMs} ms`);
  });

  await t.test('an unknown tool is an error', async () => {
    const outcome = await client.callTool({ name: 'no_such_tool', arguments: {} }).catch((error) => error);
    if (outcome instanceof Error) {
      assert.ok(outcome instanceof McpError, String(outcome));
      assert.equal(outcome.code, ErrorCode.InvalidParams);
    } else {
      assert.equal(outcome.isError, true);
    }
    await client.ping();
  });

  await t.test('an unknown method is an error', async () => {
    await assert.rejects(client.getPrompt({ name: 'nothing' }), (error) =>
      error instanceof McpError && error.code === ErrorCode.MethodNotFound);
  });

  assert.deepEqual(errors, []);
  if (transport.sessionId) await t.test('the session ends', () => transport.terminateSession());
}

let mock;

before(async () => {
  mock = await startMock(required('MOCK_MCP'), ['--listen', '127.0.0.1:0']);
  assert.match(mock.ready.listening, /^http:\/\/127\.0\.0\.1:\d+\/mcp$/);
});

// Also the last assertion of the file: whatever happened, SIGTERM ends the mock with 0.
after(async () => {
  if (!mock) return;
  const end = await mock.terminate();
  assert.deepEqual([end.code, end.signal], [0, null], mock.complaint());
});

test('directly', { timeout: 60_000 }, (t) => exercise(t, mock.ready.listening));

test('two clients are two sessions', { timeout: 30_000 }, async (t) => {
  const [a, b] = await Promise.all([connect(mock.ready.listening), connect(mock.ready.listening)]);
  t.after(() => Promise.all([a.client.close(), b.client.close()]));
  if (a.transport.sessionId) {
    assert.notEqual(a.transport.sessionId, b.transport.sessionId);
    await a.transport.terminateSession();
  }
  const result = await b.client.callTool({ name: 'echo', arguments: { text: 'still here' } });
  assert.equal(result.content[0].text, 'still here');
});

test('through an entrance that routes by Host', {
  timeout: 120_000,
  skip: process.env.MCP_TUNNEL_URL && process.env.MCP_TUNNEL_HOST ? false : 'MCP_TUNNEL_URL and MCP_TUNNEL_HOST are not set',
}, async (t) => {
  const agents = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };
  t.after(() => {
    agents.http.destroy();
    agents.https.destroy();
  });
  await exercise(t, process.env.MCP_TUNNEL_URL, fetchWithHost(process.env.MCP_TUNNEL_HOST, agents));
});

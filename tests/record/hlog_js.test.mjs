// Reads the log of write_hlog with hdr-histogram-js and compares what the two say; then the log of a run in virtual time,
// which is compared with the run's result.json.
//
//   node hlog_js.test.mjs PATH_OF_WRITE_HLOG PATH_OF_WINDTUNNEL
//
// The package is looked for in $WT_NODE_MODULES, then in tests/node_modules, then beside this file. Where it is
// missing the test is skipped (77), but in CI that is a failure.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE = 'hdr-histogram-js';
const PERCENTILES = [50, 90, 99, 99.9, 100];

function findPackage() {
  const here = dirname(fileURLToPath(import.meta.url));
  const folders = [process.env.WT_NODE_MODULES, join(here, '..', 'node_modules'), join(here, 'node_modules')];
  for (const folder of folders) {
    if (!folder || !existsSync(join(folder, PACKAGE, 'package.json'))) continue;
    return createRequire(import.meta.url)(join(folder, PACKAGE));
  }
  return null;
}

function runWriter(binary) {
  const ran = spawnSync(binary, { encoding: 'utf8', maxBuffer: 64 << 20 });
  assert.equal(ran.status, 0, `${binary}: ${ran.error ?? ran.stderr}`);
  return JSON.parse(ran.stdout);
}

// The rows of a percentile table as numbers, without its comments.
function rows(table) {
  return table
    .split('\n')
    .slice(2)
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().split(/\s+/).map(Number));
}

function compareTables(ours, theirs, tag) {
  const [a, b] = [rows(ours), rows(theirs)];
  assert.equal(a.length, b.length, `${tag}: rows of the table`);
  a.forEach((row, i) => {
    const [value, percentile, count, inverse] = row;
    // Ours are exact fractions, rounded half up; theirs come from binary ones.
    assert.ok(Math.abs(value - b[i][0]) < 0.0011, `${tag}: value ${value} and ${b[i][0]}`);
    assert.ok(Math.abs(percentile - b[i][1]) < 2e-12, `${tag}: percentile ${percentile} and ${b[i][1]}`);
    assert.equal(count, b[i][2], `${tag}: count up to ${percentile}`);
    if (inverse === undefined) return;
    assert.ok(Math.abs(inverse / b[i][3] - 1) < 0.01, `${tag}: ${inverse} and ${b[i][3]}`);
  });
}

function compare(hdr, written) {
  // 64-bit cells, for the counts above 2^32.
  const reader = new hdr.HistogramLogReader(written.log, 64);
  assert.deepEqual(hdr.listTags(written.log), written.intervals.map((interval) => interval.tag));
  written.intervals.forEach((interval, i) => {
    const histogram = reader.nextIntervalHistogram();
    assert.ok(histogram, `${interval.tag} is there`);
    assert.equal(histogram.tag, interval.tag);
    assert.equal(histogram.startTimeStampMsec, 1700000000123 + 1000 * i);
    assert.equal(histogram.endTimeStampMsec, 1700000001123 + 1000 * i);
    assert.equal(histogram.totalCount, interval.count);
    PERCENTILES.forEach((percentile, p) => {
      const theirs = histogram.getValueAtPercentile(percentile);
      assert.equal(interval.percentiles[p], theirs, `${interval.tag}: p${percentile}`);
    });
    compareTables(interval.hgrm, histogram.outputPercentileDistribution(5, 1e6), interval.tag);
  });
  assert.equal(reader.nextIntervalHistogram(), null);
}

// Both files of one run of a scenario that has samples in most metrics.
function runScenario(binary) {
  const out = mkdtempSync(join(tmpdir(), 'wt-hlog-'));
  const scenario = fileURLToPath(new URL('../../scenarios/reconnect-storm.json', import.meta.url));
  try {
    const ran = spawnSync(binary, ['run', scenario, '--clock', 'virtual', '--deployment', 'retry', '--out', out], { encoding: 'utf8' });
    assert.equal(ran.status, 0, `${binary}: ${ran.error ?? ran.stderr}`);
    const read = (name) => readFileSync(join(out, 'retry', '0', name), 'utf8');
    return { log: read('intervals.hlog'), result: JSON.parse(read('result.json')) };
  } finally {
    rmSync(out, { recursive: true });
  }
}

// The whole histogram of each metric: all of its intervals added up.
function addUp(hdr, log) {
  const reader = new hdr.HistogramLogReader(log, 64);
  const whole = new Map();
  for (let one = reader.nextIntervalHistogram(); one; one = reader.nextIntervalHistogram()) {
    if (whole.has(one.tag)) whole.get(one.tag).add(one);
    else whole.set(one.tag, one);
  }
  return whole;
}

// How many percentiles were compared.
function compareRun(hdr, { log, result }) {
  const whole = addUp(hdr, log);
  const FIGURES = { p50_ns: 500000, p90_ns: 900000, p99_ns: 990000, p999_ns: 999000 };
  let compared = 0;
  for (const [name, metric] of Object.entries(result.metrics).filter(([name]) => !name.includes('{'))) {
    const histogram = whole.get(name);
    assert.equal(histogram?.totalCount ?? 0, metric.count, `${name}: count`);
    const figures = Object.entries(FIGURES).map(([key, ppm]) => [ppm, metric[key]]).filter(([, ns]) => ns !== null);
    /* A curve begins with the exact minimum, which no cell knows. */
    for (const [ppm, ns] of [...figures, ...(result.curves[name] ?? []).slice(1)]) {
      const theirs = Math.min(histogram.getValueAtPercentile(ppm / 1e4), metric.max_ns);
      assert.equal(ns, theirs, `${name}: ${ppm} ppm`);
      compared++;
    }
  }
  return compared;
}

const hdr = findPackage();
if (!hdr) {
  console.error(`${PACKAGE} is not installed: npm ci in tests/record, or WT_NODE_MODULES`);
  process.exit(process.env.CI ? 1 : 77);
}
const written = runWriter(process.argv[2]);
compare(hdr, written);
console.log(`${written.intervals.length} intervals agree with ${PACKAGE}`);
const percentiles = compareRun(hdr, runScenario(process.argv[3]));
assert.ok(percentiles > 100, `percentiles of the run: ${percentiles}`);
console.log(`${percentiles} percentiles of a run agree with ${PACKAGE}`);

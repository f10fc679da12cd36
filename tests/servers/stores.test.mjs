// `costlake convert` of Azure storage and S3, against servers of others: Azurite and moto.
//
// Each store holds what a local folder holds, so both must give the same Parquet, byte for byte. A proxy
// before Azurite breaks connections and replaces blobs while they are read.

import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const HERE = dirname(fileURLToPath(import.meta.url));
const COSTLAKE = resolve(process.env.COSTLAKE_BIN ?? "target/debug/costlake");
const MOTO = resolve(process.env.MOTO_SERVER ?? join(HERE, ".venv/bin/moto_server"));
const AZURITE = join(HERE, "node_modules/azurite/dist/src/blob/main.js");
const READY_WITHIN_MS = 60_000;

// Account and key of every Azurite; they protect nothing.
const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const folder = mkdtempSync(join(tmpdir(), "costlake-stores-"));
const ends = [];
let azure, s3, proxy;

before(async () => {
  const made = await costlake(["simulate", "generate", "--rows", "30000", "--months", "1", "--blobs", "2", "--out", join(folder, "exports")]);
  assert.equal(made.status, 0, made.stderr);
  const local = await costlake(["convert", join(folder, "exports"), "--lake", join(folder, "local")]);
  assert.equal(local.status, 0, local.stderr);
  azure = await startAzurite();
  proxy = await startProxy(azure.origin);
  s3 = await startMoto();
  for (const store of [azure, s3]) {
    await store.put("costs");
    for (const file of files(join(folder, "exports"))) {
      await store.put(`costs/daily/exports/${relative(join(folder, "exports"), file)}`, readFileSync(file));
    }
    await store.put("costs/daily/exports/actual/notes.txt", "no cost file");
    const parts = actualParts();
    for (const [at, part] of parts.entries()) await store.put(`costs/packed/part_${at}.csv.gz`, gzipSync(readFileSync(part)));
    await store.put("costs/packed/costs.zip", zipped(parts.map((part, at) => [`part_${at}.csv`, readFileSync(part)])));
  }
});

after(async () => {
  for (const end of ends.reverse()) await end();
  rmSync(folder, { recursive: true });
});

for (const [name, scheme, store] of [["Azure storage", "az", () => azure], ["S3", "s3", () => s3]]) {
  test(`${name}: a folder of exports gives the bytes of the local one`, async () => {
    same(await convert(store(), [`${scheme}://costs/daily`]), "local");
    same(await convert(store(), [`${scheme}://costs/daily/exports/`]), "local");
  });

  test(`${name}: patterns choose folders and files`, async () => {
    same(await convert(store(), [`${scheme}://costs/*/exp*/**`]), "local");
    same(await convert(store(), [`${scheme}://costs/d*y/exports/a[cm]*`]), "local");
    const parts = await convert(store(), [`${scheme}://costs/daily/**/actual/**/part_?.csv`, "--metric", "actual"]);
    same(parts, "local", "actual");
    const none = await convert(store(), [`${scheme}://costs/daily/**/part_?.tsv`]);
    exits(none, 2, "no cost file matches", `${scheme}://costs/daily/**/part_?.tsv`);
  });

  test(`${name}: single files, gzipped and zipped ones`, async () => {
    const urls = (urls) => convert(store(), [...urls.map((url) => `${scheme}://costs/${url}`), "--metric", "actual"]);
    same(await urls(["daily/exports/actual/202505/part_0.csv", "daily/exports/actual/202505/part_1.csv"]), "local", "actual");
    same(await urls(["packed/part_0.csv.gz", "packed/part_1.csv.gz"]), "local", "actual");
    same(await urls(["packed/costs.zip"]), "local", "actual");
    same(await convert(store(), [`${scheme}://costs/daily/exports/actual/202505/manifest.json`]), "local", "actual");
    exits(await urls(["packed/part_0.csv.gz", "packed/part_0.csv.gz"]), 2, "given twice");
    exits(await urls(["packed"]), 5, "same bytes");
  });

  test(`${name}: what is not there is wrong usage`, async () => {
    exits(await convert(store(), [`${scheme}://nowhere/daily`]), 2, `${scheme}://nowhere/daily`);
    exits(await convert(store(), [`${scheme}://costs/nothing`]), 2, `there is no ${scheme}://costs/nothing`);
    exits(await convert(store(), [`${scheme}://costs/daily/exports/actual/202505/part_0.csv`]), 2, "--metric");
  });

  test(`${name}: a manifest that names what is not there is refused`, async () => {
    const manifest = readFileSync(join(folder, "exports/actual/202505/manifest.json"));
    await store().put("costs/broken/202505/manifest.json", manifest);
    exits(await convert(store(), [`${scheme}://costs/broken`]), 5, "part_0.csv is not there", "its manifest names it");
  });
}

test("Azure storage: a wrong key is a matter of rights, and not shown", async () => {
  const wrong = Buffer.from("a wrong key").toString("base64");
  const outcome = await convert(azure, ["az://costs/daily", "-vv"], { AZURE_STORAGE_ACCOUNT_KEY: wrong });
  exits(outcome, 3, "cannot find az://costs/daily", "the service answered 403", "hint: credentials");
  assert.ok(!said(outcome).includes(wrong), said(outcome));
});

test("Azure storage: a signature in the URL is used, and not shown", async () => {
  const signature = azure.signature("rl");
  const outcome = await convert(azure, [`az://costs/daily/exp*?${signature}`, "-vv", "--result-file", join(folder, "result.json")]);
  same(outcome, "local");
  const result = readFileSync(join(folder, "result.json"), "utf8");
  const expired = azure.signature("rl", "2020-01-01T00:00:00Z");
  const refused = await convert(azure, [`az://costs/daily?${expired}`, "-vv"]);
  exits(refused, 3, "az://costs/daily");
  for (const text of [said(outcome), result, said(refused), lakeText(outcome.lake)]) {
    assert.ok(!/sig=/.test(text), text);
  }
});

test("Azure storage: without an account the variable is named", async () => {
  exits(await convert({ env: {} }, ["az://costs/daily"]), 2, "Account must be specified");
});

test("a broken connection is gone on with", async () => {
  proxy.cuts = 3;
  same(await convert(azure, ["az://costs/daily/exports"], { AZURITE_BLOB_STORAGE_URL: proxy.origin }), "local");
  assert.equal(proxy.cuts, 0, "connections were cut");
});

test("a blob that is replaced while it is read is an error", async () => {
  const part = readFileSync(actualParts()[0]);
  assert.ok(part.length > 8 << 20, "several ranges");
  await azure.put("costs/moving/part_0.csv", part);
  proxy.beforeRange = async (start) => {
    if (start >= 8 << 20) await azure.put("costs/moving/part_0.csv", part);
  };
  const outcome = await convert(azure, ["az://costs/moving/part_0.csv", "--metric", "actual"], { AZURITE_BLOB_STORAGE_URL: proxy.origin });
  proxy.beforeRange = undefined;
  exits(outcome, 9, "cannot read az://costs/moving/part_0.csv", "it was replaced or deleted");
});

test("a service that stays busy is for later", async () => {
  proxy.busy = true;
  const outcome = await convert(azure, ["az://costs/daily/exports"], { AZURITE_BLOB_STORAGE_URL: proxy.origin });
  proxy.busy = false;
  exits(outcome, 4, "the service answered 503", "try again later");
});

/// Runs the program; not so that it would block the proxy.
async function costlake(args, env = {}) {
  const child = spawn(COSTLAKE, args, { env: { ...env, TMPDIR: tmpdir() }, stdio: ["ignore", "pipe", "pipe"] });
  const outcome = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (text) => (outcome[name] += text));
  outcome.status = await new Promise((done) => child.on("close", done));
  return outcome;
}

let lakes = 0;

/// Converts into a lake of its own.
async function convert(store, args, env = {}) {
  lakes += 1;
  const lake = join(folder, `lake-${lakes}`);
  return { ...(await costlake(["convert", ...args, "--lake", lake], { ...store.env, ...env })), lake };
}

const said = ({ stdout, stderr }) => stdout + stderr;

function exits(outcome, code, ...texts) {
  assert.equal(outcome.status, code, said(outcome));
  for (const text of texts) assert.ok(outcome.stderr.includes(text), `${text} in ${outcome.stderr}`);
}

/// Asserts that line items, of one metric or all, are those of another lake.
function same(outcome, other, metric = "") {
  exits(outcome, 0);
  const of = (lake) => {
    const table = join(lake, "cost_line_items");
    const wanted = files(table).filter((file) => file.includes(`metric=${metric}`));
    return wanted.map((file) => [relative(table, file), readFileSync(file).toString("base64")]);
  };
  const [found, expected] = [of(outcome.lake), of(join(folder, other))];
  assert.deepEqual(found.map(([path]) => path), expected.map(([path]) => path));
  for (const [at, [path, bytes]] of found.entries()) assert.ok(bytes === expected[at][1], `${path} has the same bytes`);
}

const lakeText = (lake) => files(lake).map((file) => readFileSync(file, "latin1")).join();

function files(root) {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
}

function actualParts() {
  return files(join(folder, "exports/actual")).filter((file) => file.endsWith(".csv"));
}

/// A zip archive of stored files.
function zipped(entries) {
  const locals = [];
  const central = [];
  let offset = 0;
  for (const [name, bytes] of entries) {
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    const place = Buffer.alloc(16);
    place.writeUInt32LE(offset, 12);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), bytes]);
    central.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), common, place.subarray(2), Buffer.from(name)]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, directory, Buffer.from("PK\x05\x06"), end]);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/// Starts a server on a free port and waits until it says where it listens.
async function start(command, args, pattern) {
  assert.ok(existsSync(command), `${command} is installed`);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => (text += piece));
  const ended = new Promise((done) => child.on("exit", done));
  ends.push(async () => {
    child.kill();
    await ended;
  });
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!pattern.test(text)) {
    assert.equal(child.exitCode, null, `${command} runs: ${text}`);
    assert.ok(Date.now() < deadline, `${command} is ready in time: ${text}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  return pattern.exec(text)[1];
}

async function startAzurite() {
  const args = [AZURITE, "--blobHost", "127.0.0.1", "--blobPort", String(await freePort()), "--location", join(folder, "azurite"), "--disableTelemetry", "--silent", "--skipApiVersionCheck"];
  const origin = await start(process.execPath, args, /listens on (http:\S+)/);
  /// An account signature.
  const signature = (permissions, expiry = "2099-01-01T00:00:00Z") => {
    const fields = { sp: permissions, ss: "b", srt: "sco", st: "", se: expiry, sip: "", spr: "http", sv: "2021-06-08" };
    const text = [ACCOUNT, ...Object.values(fields), "", ""].join("\n");
    const sig = createHmac("sha256", Buffer.from(KEY, "base64")).update(text).digest("base64");
    return new URLSearchParams({ ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value)), sig }).toString();
  };
  /// Makes a container, or a blob in one.
  const put = async (path, body) => {
    const query = body === undefined ? "restype=container&" : "";
    const headers = { "x-ms-version": "2021-06-08", ...(body !== undefined && { "x-ms-blob-type": "BlockBlob" }) };
    const answer = await fetch(`${origin}/${ACCOUNT}/${path}?${query}${signature("rwlac")}`, { method: "PUT", headers, body });
    assert.equal(answer.status, 201, await answer.text());
  };
  return { origin, signature, put, env: { AZURE_STORAGE_USE_EMULATOR: "true", AZURITE_BLOB_STORAGE_URL: origin } };
}

async function startMoto() {
  const origin = await start(MOTO, ["-H", "127.0.0.1", "-p", String(await freePort())], /Running on (http:\S+)/);
  const put = async (path, body) => {
    const answer = await fetch(`${origin}/${path}`, { method: "PUT", body });
    assert.equal(answer.status, 200, await answer.text());
  };
  const env = { AWS_ENDPOINT: origin, AWS_ALLOW_HTTP: "true", AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_REGION: "us-east-1" };
  return { origin, put, env };
}

/// Azurite has no way to say which port it was given.
async function freePort() {
  const server = http.createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/// Passes requests on. Cuts the first answers with a range in two, or does something before ranges.
async function startProxy(target) {
  const proxy = { cuts: 0, busy: false, beforeRange: undefined, origin: "" };
  const server = http.createServer(async (incoming, outgoing) => {
    if (proxy.busy) {
      outgoing.writeHead(503).end();
      return;
    }
    const range = /bytes=(\d+)/.exec(incoming.headers.range ?? incoming.headers["x-ms-range"] ?? "");
    if (range) await proxy.beforeRange?.(Number(range[1]));
    // A connection of its own for each request, and a server that hangs up is passed on as just that.
    const options = { method: incoming.method, headers: incoming.headers, agent: false };
    const hangUp = () => outgoing.destroy();
    const request = http.request(target + incoming.url, options, (answer) => {
      answer.on("error", hangUp);
      outgoing.writeHead(answer.statusCode, answer.headers);
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const body = Buffer.concat(pieces);
        if (!range || proxy.cuts === 0) {
          outgoing.end(body);
          return;
        }
        proxy.cuts -= 1;
        outgoing.write(body.subarray(0, body.length / 2), () => outgoing.destroy());
      });
    });
    request.on("error", hangUp);
    incoming.on("error", hangUp).pipe(request);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  ends.push(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  proxy.origin = `http://127.0.0.1:${server.address().port}`;
  return proxy;
}

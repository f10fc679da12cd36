// What the tests against Azure's description and Azure's own client share: a simulator, a recorder
// before it, and runs of costlake.
//
//   costlake run ──► recorder ──► costlake simulate, or something that leads there

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const READY_WITHIN_MS = 30_000;
/// The month that the simulator starts with.
export const PERIOD = "2025-05";

const COSTLAKE = resolve(process.env.COSTLAKE_BIN ?? "target/debug/costlake");
/// Of the variables of this process, those that costlake reads are left out: they would change what is tested.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(COSTLAKE|AZURE)_/.test(name)));

/// A folder for one test, and what is to be ended with it, last things first.
export function workplace(t) {
  const folder = mkdtempSync(join(tmpdir(), "costlake-servers-"));
  const ends = [() => rmSync(folder, { recursive: true })];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  return { folder, ends };
}

/// Starts `costlake simulate` with one small month, and returns what to know of it.
export async function startSimulator({ folder, ends }, options = []) {
  const envFile = join(folder, "env");
  const small = ["--months", "1", "--rows-per-month", "600", "--polls", "1"];
  const child = spawn(COSTLAKE, ["simulate", "-q", "--env-file", envFile, ...small, ...options], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => (said += text));
  ends.push(endOf(child));
  await until(() => {
    assert.equal(child.exitCode, null, `the simulator runs: ${said}`);
    return existsSync(envFile);
  }, "the simulator is ready");
  const pairs = readFileSync(envFile, "utf8").matchAll(/^export (\w+)='(.*)'$/gm);
  const variables = Object.fromEntries([...pairs].map(([, name, value]) => [name, value]));
  const origin = variables.COSTLAKE_ARM_ENDPOINT;
  return { origin, variables, scopes: await scopesOf(origin, variables.COSTLAKE_DEMO_BILLING_ACCOUNT) };
}

/// Every form that a scope of an Enterprise Agreement has in a path, each with an id of the simulated enrollment.
async function scopesOf(origin, enrollment) {
  const { departments, accounts, subscriptions } = await (await fetch(`${origin}/_simulator/organization`)).json();
  const billing = "/providers/Microsoft.Billing";
  const account = `${billing}/billingAccounts/${enrollment}`;
  return {
    billingAccount: account,
    department: `${account}/departments/${departments[0].id}`,
    departmentAlone: `${billing}/departments/${departments[1].id}`,
    enrollmentAccount: `${account}/enrollmentAccounts/${accounts[0].id}`,
    enrollmentAccountAlone: `${billing}/enrollmentAccounts/${accounts[1].id}`,
    subscription: `/subscriptions/${subscriptions[0].id}`,
  };
}

/// Has the simulator misbehave; replaces what was ordered before.
export async function orderFaults(simulator, faults) {
  const url = `${simulator.origin}/_simulator/faults`;
  await fetch(url, { method: "DELETE" });
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(faults) });
  assert.equal(answer.status, 204, `the simulator takes the faults: ${await answer.text()}`);
}

/// A token of the simulator, asked for without costlake.
export async function fetchToken({ variables }) {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: variables.AZURE_CLIENT_ID,
    client_secret: variables.AZURE_CLIENT_SECRET,
    scope: "https://management.azure.com/.default",
  });
  const answer = await fetch(`${variables.AZURE_AUTHORITY_HOST}/${variables.AZURE_TENANT_ID}/oauth2/v2.0/token`, { method: "POST", body: form });
  return (await answer.json()).access_token;
}

/// Passes requests on to `target` and keeps what was said. The addresses in the answers, which are the
/// simulator's, become the recorder's: so polls come through it too.
export async function startRecorder({ ends }, simulator, target = simulator.origin) {
  const exchanges = [];
  let origin = "";
  const server = http.createServer(async (incoming, outgoing) => {
    const asked = await read(incoming);
    const url = new URL(incoming.url, target);
    const headers = { ...incoming.headers, host: url.host };
    const forward = http.request(url, { method: incoming.method, headers }, async (answer) => {
      const said = await read(answer);
      exchanges.push({
        request: {
          method: incoming.method,
          url: incoming.url,
          path: url.pathname,
          query: Object.fromEntries(url.searchParams),
          headers: incoming.headers,
          body: parsed(asked),
        },
        response: { statusCode: answer.statusCode, headers: answer.headers, body: parsed(said) },
      });
      const passedOn = { ...answer.headers };
      if (passedOn.location) passedOn.location = passedOn.location.replace(simulator.origin, origin);
      outgoing.writeHead(answer.statusCode, passedOn).end(said);
    });
    forward.on("error", (error) => outgoing.destroy(error));
    forward.end(asked);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  ends.push(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  origin = `http://127.0.0.1:${server.address().port}`;
  return { origin, exchanges };
}

export function nameOf({ request, response }) {
  return `${request.method} ${request.path} -> ${response.statusCode}`;
}

/// Runs costlake on one scope, both metrics. `endpoint` is where it sends what is for Azure's resource
/// manager; tokens and blobs come from the simulator itself.
export function runCostlake({ folder }, simulator, { endpoint = simulator.origin, scope, lake, period = PERIOD }) {
  const pipeline = join(folder, `${lake}.toml`);
  writeFileSync(pipeline, pipelineFor(simulator));
  const path = join(folder, lake);
  return costlake(["run", "-q", "-c", pipeline, "--scope", scope, "--period", period, "--lake", path], {
    ...simulator.variables,
    COSTLAKE_ARM_ENDPOINT: endpoint,
  });
}

function pipelineFor(simulator) {
  return `
[azure]
arm_endpoint = { env = "COSTLAKE_ARM_ENDPOINT" }
storage_endpoints = [{ env = "COSTLAKE_STORAGE_ENDPOINT" }]
token_scope = "${simulator.origin}/.default"

[azure.auth]
kind = "client-secret"
authority = { env = "AZURE_AUTHORITY_HOST" }
tenant_id = { env = "AZURE_TENANT_ID" }
client_id = { env = "AZURE_CLIENT_ID" }
client_secret = { env = "AZURE_CLIENT_SECRET" }

[pull]
metrics = ["both"]
`;
}

/// Runs the program; not so that it would block the servers of this process.
export async function costlake(args, variables = {}) {
  return finished(spawn(COSTLAKE, args, { env: { ...ENVIRONMENT, ...variables }, stdio: ["ignore", "pipe", "pipe"] }));
}

/// Waits for a program, and returns its exit code and what it said.
export async function finished(child) {
  const outcome = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].on("data", (text) => (outcome[name] += text));
  outcome.status = await new Promise((done) => child.on("close", done));
  return outcome;
}

/// Ends a program by its own id, and waits for it.
export function endOf(child) {
  const ended = new Promise((done) => child.on("exit", done));
  return async () => {
    child.kill();
    await ended;
  };
}

export async function until(isTrue, what) {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!isTrue()) {
    assert.ok(Date.now() < deadline, `${what} in time`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/// How a report can end, and what Azure can say instead of making one. Each is ordered from the simulator
/// by `faults`; `sees` is an answer that must have come by, `exits` how the run must have ended.
export const OUTCOMES = [
  {
    name: "no-data",
    faults: [{ route: "submit", count: 2, action: { type: "no_data_found" } }],
    sees: ({ response }) => response.body?.status === "NoDataFound",
    exits: (status) => status === 0,
  },
  {
    name: "no-content",
    faults: [{ route: "submit", count: 2, action: { type: "reply", status: 204 } }],
    sees: ({ response }) => response.statusCode === 204,
    exits: (status) => status === 0,
  },
  {
    // A cause that fetching the month in parts would not mend.
    name: "failed",
    faults: [{ route: "submit", count: 2, action: { type: "failed_report", code: "AccountCostDisabled", message: "The view of charges is off." } }],
    sees: ({ response }) => response.body?.status === "Failed",
    exits: (status) => status !== 0,
  },
  {
    name: "at-once",
    faults: [{ route: "submit", count: 2, action: { type: "complete_at_once" } }],
    sees: ({ request, response }) => request.method === "POST" && response.statusCode === 200,
    exits: (status) => status === 0,
  },
  {
    name: "throttled",
    faults: [{ route: "submit", action: { type: "reply", status: 429, headers: { "Retry-After": "1" }, body: '{"error":{"code":"429","message":"Too many requests. Please retry."}}' } }],
    sees: ({ response }) => response.statusCode === 429,
    exits: (status) => status === 0,
  },
  {
    name: "token-expired",
    faults: [{ route: "poll", action: { type: "expire_tokens" } }],
    sees: ({ response }) => response.statusCode === 401,
    exits: (status) => status === 0,
  },
  {
    name: "too-old",
    period: "2020-01",
    faults: [],
    sees: ({ response }) => response.statusCode === 400,
    exits: (status) => status !== 0,
  },
  {
    name: "not-there",
    scope: "/providers/Microsoft.Billing/departments/999999",
    faults: [],
    sees: ({ response }) => response.statusCode === 404,
    exits: (status) => status !== 0,
  },
];

/// Runs costlake on every form of a scope, then into every outcome, and checks how the runs ended. What
/// was said is in the recorder.
export async function runEverything(place, simulator, recorder) {
  const run = (options) => runCostlake(place, simulator, { endpoint: recorder.origin, ...options });
  const forms = Object.entries(simulator.scopes);
  const runs = await Promise.all(forms.map(([form, scope]) => run({ scope, lake: form })));
  for (const [at, { status, stderr }] of runs.entries()) assert.equal(status, 0, `${forms[at][0]}: ${stderr}`);
  for (const { name, faults, scope = simulator.scopes.billingAccount, period, sees, exits } of OUTCOMES) {
    await orderFaults(simulator, faults);
    const before = recorder.exchanges.length;
    const { status, stderr } = await run({ scope, period, lake: name });
    assert.ok(exits(status), `${name}: ended with ${status}: ${stderr}`);
    assert.ok(recorder.exchanges.slice(before).some(sees), `${name}: was seen`);
  }
  await orderFaults(simulator, []);
}

/// What must have come by in `runEverything`: both metrics of every form, asked for, polled and complete.
export function assertSeen(simulator, exchanges) {
  for (const [form, scope] of Object.entries(simulator.scopes)) {
    const here = exchanges.filter(({ request }) => request.path.startsWith(`${scope}/providers/Microsoft.CostManagement/`));
    const metrics = new Set(here.map(({ request }) => request.body?.metric));
    for (const metric of ["ActualCost", "AmortizedCost"]) assert.ok(metrics.has(metric), `${form}: asked for ${metric}`);
    const statuses = new Set(here.map(({ request, response }) => `${request.method} ${response.statusCode}`));
    for (const status of ["POST 202", "GET 202", "GET 200"]) assert.ok(statuses.has(status), `${form}: saw ${status}`);
  }
}

export async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parsed(bytes) {
  return bytes.length === 0 ? undefined : JSON.parse(bytes.toString("utf8"));
}

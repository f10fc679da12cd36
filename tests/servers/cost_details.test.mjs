// costlake and its simulator, both judged by Azure's own description of the Cost Details API.
//
//   costlake run ──► recorder ──► costlake simulate
//                       │
//                       └─► every request and answer ──► oav, Azure's validator
//
// So the client and the simulator cannot be wrong together. The descriptions are not part of this
// repository: COSTLAKE_REFERENCE names the folder that holds `azure-specs`; without it the test is
// skipped and says so.

import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import oav from "oav";

const COSTLAKE = resolve(process.env.COSTLAKE_BIN ?? "target/debug/costlake");
const REFERENCE = resolve(process.env.COSTLAKE_REFERENCE ?? "../shared/reference");
const SPECS = join(REFERENCE, "azure-specs");
const API_VERSION = "2025-03-01";
const READY_WITHIN_MS = 30_000;

const skip = existsSync(SPECS) ? false : `skipped: no Azure descriptions in ${SPECS} (set COSTLAKE_REFERENCE)`;

test("every exchange of a run is what Azure's description says", { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "costlake-servers-"));
  const ends = [() => rmSync(folder, { recursive: true })];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });

  const validator = await azureValidator(folder);
  const simulator = await startSimulator(folder, ends);
  const recorder = await startRecorder(simulator.COSTLAKE_ARM_ENDPOINT, ends);

  const code = await runCostlake(folder, simulator, recorder);
  assert.equal(code, 0, "costlake run ended well");
  assert.ok(recorder.exchanges.length > 0, "costlake spoke through the recorder");

  const statuses = new Set();
  for (const exchange of recorder.exchanges) {
    const { request, response } = exchange;
    const name = `${request.method} ${request.path} -> ${response.statusCode}`;
    const verdict = await validator.validateLiveRequestResponse(toLive(exchange));
    assert.deepEqual(problems(verdict), [], name);
    assert.match(request.headers.authorization ?? "", /^Bearer ./, `${name}: carries a token`);
    assert.equal(request.query["api-version"], API_VERSION, `${name}: asks for the newest version`);
    // The description does not demand these headers, the documentation does.
    if (response.statusCode === 202) {
      assert.ok(response.headers.location, `${name}: says where to ask`);
      assert.match(response.headers["retry-after"] ?? "", /^\d+$/, `${name}: says when to ask`);
    }
    statuses.add(`${request.method} ${response.statusCode}`);
  }
  t.diagnostic(`${recorder.exchanges.length} exchanges validated: ${[...statuses].sort().join(", ")}`);
  for (const seen of ["POST 202", "GET 202", "GET 200"]) assert.ok(statuses.has(seen), `saw ${seen}`);

  await t.test("and the validator refuses what is not", async () => {
    const done = recorder.exchanges.find((exchange) => exchange.response.statusCode === 200);
    const asked = recorder.exchanges.find((exchange) => exchange.request.method === "POST");
    const damaged = [
      [done, (exchange) => (exchange.response.body.manifest.byteCount = "many")],
      [done, (exchange) => (exchange.response.body.manifest.colour = "blue")],
      [asked, (exchange) => (exchange.request.body.billingPeriods = "202507")],
      [asked, (exchange) => delete exchange.request.query["api-version"]],
    ];
    for (const [exchange, damage] of damaged) {
      const copy = structuredClone(exchange);
      damage(copy);
      const verdict = await validator.validateLiveRequestResponse(toLive(copy));
      assert.notDeepEqual(problems(verdict), [], `${damage}`);
    }
  });

  await t.test("the simulator takes the requests of Azure's own examples", async () => {
    const token = recorder.exchanges[0].request.headers.authorization;
    const folder = join(SPECS, "cost-management", "2024-08-01", "examples");
    const ofEnterprise = /^GenerateCostDetailsReportBy(BillingAccount|Departments|EnrollmentAccounts|Subscription).*\.json$/;
    const examples = readdirSync(folder).filter((name) => ofEnterprise.test(name)).sort();
    assert.ok(examples.length > 0, `examples in ${folder}`);
    let refused = 0;
    for (const example of examples) {
      const { scope, parameters } = JSON.parse(readFileSync(join(folder, example), "utf8")).parameters;
      const url = `${recorder.origin}/${scope.replace(/^\//, "")}/providers/Microsoft.CostManagement/generateCostDetailsReport?api-version=${API_VERSION}`;
      const before = recorder.exchanges.length;
      const headers = { authorization: token, "content-type": "application/json" };
      const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(parameters) });
      await answer.text();
      const verdict = await validator.validateLiveRequestResponse(toLive(recorder.exchanges[before]));
      assert.deepEqual(problems(verdict), [], `${example} -> ${answer.status}`);
      // The examples name scopes and dates that the simulated enrollment does not have; a refusal
      // must then be one in Azure's own form, which the validator has just checked.
      if (answer.status >= 400) refused += 1;
    }
    t.diagnostic(`${examples.length} official examples: ${examples.length - refused} accepted, ${refused} refused in Azure's form`);
  });
});

/// The validator, over a tree of descriptions laid out as their relative references expect.
async function azureValidator(folder) {
  const root = join(folder, "specification");
  const stable = join(root, "cost-management", "resource-manager", "Microsoft.CostManagement", "CostManagement", "stable", API_VERSION);
  mkdirSync(stable, { recursive: true });
  const name = "costmanagement.generatecostdetailsreport.json";
  const from = join(SPECS, "cost-management");
  cpSync(join(from, API_VERSION, name), join(stable, name));
  cpSync(join(from, API_VERSION, "examples"), join(stable, "examples"), { recursive: true });
  cpSync(join(from, "2024-08-01", "examples"), join(stable, "examples"), { recursive: true });
  // The older version's common types serve both; there they lie one folder higher.
  const common = readFileSync(join(from, "2024-08-01", "common-types.json"), "utf8");
  writeFileSync(join(stable, "common-types.json"), common.replaceAll('"../../../../../common-types', '"../../../../../../common-types'));
  cpSync(join(SPECS, "common-types"), join(root, "common-types"), { recursive: true });
  const validator = new oav.LiveValidator({
    directory: folder,
    swaggerPathsPattern: [`specification/**/${API_VERSION}/${name}`],
    loadValidatorInBackground: false,
  });
  await validator.initialize();
  return validator;
}

async function startSimulator(folder, ends) {
  const envFile = join(folder, "env");
  const child = spawn(COSTLAKE, ["simulate", "-q", "--env-file", envFile], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => (said += text));
  const ended = new Promise((done) => child.on("exit", done));
  ends.push(async () => {
    child.kill();
    await ended;
  });
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!existsSync(envFile)) {
    assert.equal(child.exitCode, null, `the simulator runs: ${said}`);
    assert.ok(Date.now() < deadline, "the simulator is ready in time");
    await new Promise((done) => setTimeout(done, 50));
  }
  const pairs = readFileSync(envFile, "utf8").matchAll(/^export (\w+)='(.*)'$/gm);
  return Object.fromEntries([...pairs].map(([, name, value]) => [name, value]));
}

/// Passes requests on and keeps what was said. The answers' own addresses become the recorder's, so
/// that polls come through it too.
async function startRecorder(target, ends) {
  const exchanges = [];
  let origin = "";
  const server = http.createServer(async (incoming, outgoing) => {
    const asked = await read(incoming);
    const headers = { ...incoming.headers, host: new URL(target).host };
    const forward = http.request(new URL(incoming.url, target), { method: incoming.method, headers }, async (answer) => {
      const said = await read(answer);
      const url = new URL(incoming.url, target);
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
      if (passedOn.location) passedOn.location = passedOn.location.replace(target, origin);
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

/// The demo, except that calls go to the recorder and tokens are asked for the simulator behind it.
function runCostlake(folder, simulator, recorder) {
  const { COSTLAKE_CONFIG, COSTLAKE_LAKE, COSTLAKE_PERIOD, COSTLAKE_METRIC, ...clean } = process.env;
  const tokenScope = `token_scope = "${simulator.COSTLAKE_ARM_ENDPOINT}/.default"`;
  const demo = readFileSync("pipelines/demo.toml", "utf8");
  const pipeline = join(folder, "pipeline.toml");
  writeFileSync(pipeline, demo.replace("[azure]", `[azure]\n${tokenScope}`).replace(/\[\[rollup\]\][^]*/, ""));
  const args = ["run", "-q", "-c", pipeline, "--lake", join(folder, "lake")];
  const variables = { ...simulator, COSTLAKE_ARM_ENDPOINT: recorder.origin };
  const child = spawn(COSTLAKE, args, { env: { ...clean, ...variables }, stdio: ["ignore", "ignore", "inherit"] });
  return new Promise((done) => child.on("exit", done));
}

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parsed(bytes) {
  return bytes.length === 0 ? undefined : JSON.parse(bytes.toString("utf8"));
}

/// An exchange in the form of oav, addressed to the host that the description names.
function toLive({ request, response }) {
  return {
    liveRequest: {
      method: request.method,
      url: `https://management.azure.com${request.url}`,
      headers: request.headers,
      query: request.query,
      body: request.body,
    },
    liveResponse: { statusCode: String(response.statusCode), headers: response.headers, body: response.body },
  };
}

function problems(verdict) {
  const { requestValidationResult: request, responseValidationResult: response } = verdict;
  return [request, response].flatMap((side) => [
    ...(side.runtimeException ? [side.runtimeException] : []),
    ...side.errors.map((error) => ({ code: error.code, message: error.message, at: error.pathsInPayload })),
  ]);
}

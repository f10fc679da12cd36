// Azure's own client for Python and costlake fetch the same reports from the simulator, and must find the
// same in them. So the simulator is not just what costlake takes Azure for.

import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { costlake, finished, PERIOD, runCostlake, startSimulator, workplace } from "./parts.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const PYTHON = resolve(process.env.AZURE_SDK_PYTHON ?? join(HERE, ".venv/bin/python"));

const METRICS = { actual: "ActualCost", amortized: "AmortizedCost" };
/// More decimal places than any amount has here.
const SMALLEST_PLACES = 60;
/// The month as Azure calls it, its days, and the two parts that they make.
const WHOLE = [{ billingPeriod: PERIOD.replace("-", "") }, { timePeriod: days(1, 31) }];
const PARTS = [{ timePeriod: days(1, 15) }, { timePeriod: days(16, 31) }];

function days(first, last) {
  const day = (number) => `${PERIOD}-${String(number).padStart(2, "0")}`;
  return { start: day(first), end: day(last) };
}

test("Azure's own client and costlake find the same in a report", async (t) => {
  const place = workplace(t);
  const simulator = await startSimulator(place, ["--closed"]);
  const { billingAccount, subscription } = simulator.scopes;
  const scopes = Object.entries({ billingAccount, subscription });

  const asked = scopes.flatMap(([name, scope]) =>
    Object.entries(METRICS).flatMap(([metric, azureName]) =>
      [...WHOLE, ...PARTS].map((period) => ({ name, metric, scope, body: { metric: azureName, ...period } })),
    ),
  );
  const [totals, ...lakes] = await Promise.all([
    fetchWithAzureSdk(simulator, asked),
    ...scopes.map(([lake, scope]) => partitionsOfRun(place, simulator, lake, scope)),
  ]);

  for (const [at, [name]] of scopes.entries()) {
    for (const metric of Object.keys(METRICS)) {
      const what = `${name}, ${metric}`;
      const fetched = totals.filter((_, number) => asked[number].name === name && asked[number].metric === metric);
      const [month, allDays, first, second] = fetched;
      const { rows, cost } = lakes[at].find((partition) => partition.metric === metric);
      assert.ok(rows > 0, `${what}: has rows`);
      assert.deepEqual({ rows: month.rows, cost: exact(month.cost) }, { rows, cost: exact(cost.EUR) }, what);
      assert.deepEqual(allDays, month, `${what}: all days are the month`);
      assert.ok(first.rows > 0 && second.rows > 0, `${what}: both parts have rows`);
      assert.equal(first.rows + second.rows, rows, `${what}: rows of the parts`);
      assert.equal(exact(first.cost) + exact(second.cost), exact(cost.EUR), `${what}: costs of the parts`);
    }
  }
  t.diagnostic(`${totals.length} reports fetched with Azure's own client, ${totals.reduce((sum, { rows }) => sum + rows, 0)} rows`);
});

async function fetchWithAzureSdk(simulator, asked) {
  const env = { PATH: process.env.PATH, ...simulator.variables };
  const child = spawn(PYTHON, [join(HERE, "azure_sdk.py")], { env, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(JSON.stringify(asked.map(({ scope, body }) => ({ scope, body }))));
  const { status, stdout, stderr } = await finished(child);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/// What a run publishes of the line items, as `status` tells it.
async function partitionsOfRun(place, simulator, lake, scope) {
  const run = await runCostlake(place, simulator, { scope, lake });
  assert.equal(run.status, 0, run.stderr);
  const { status, stdout, stderr } = await costlake(["status", "--lake", join(place.folder, lake), "-o", "json"]);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout).partitions.filter(({ table }) => table === "cost_line_items");
}

/// An amount as a whole number of its smallest part, so that sums of amounts are exact.
function exact(amount) {
  const [, sign, units, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:E([+-]?\d+))?$/.exec(amount);
  const places = SMALLEST_PLACES - fraction.length + Number(exponent);
  assert.ok(places >= 0, `${amount} has more than ${SMALLEST_PLACES} decimal places`);
  return BigInt(`${sign}${units}${fraction}${"0".repeat(places)}`);
}

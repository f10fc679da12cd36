// costlake and its simulator, both judged by Azure's own description of the Cost Details API.
//
//   costlake run ──► recorder ──► costlake simulate
//                       │
//                       └─► every request and answer ──► oav, Azure's validator
//
// So the client and the simulator cannot be wrong together.

import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { API_VERSION, azureValidator, EXAMPLES, withoutDescriptions } from "./descriptions.mjs";
import { assertSeen, fetchToken, nameOf, runEverything, startRecorder, startSimulator, workplace } from "./parts.mjs";

test("every exchange of a run is what Azure's description says", { skip: withoutDescriptions }, async (t) => {
  const place = workplace(t);
  const validator = await azureValidator(place);
  const simulator = await startSimulator(place);
  const recorder = await startRecorder(place, simulator);

  await runEverything(place, simulator, recorder);

  const { exchanges } = recorder;
  for (const exchange of exchanges) {
    const { request, response } = exchange;
    const name = nameOf(exchange);
    assert.deepEqual(await validator.problems(exchange), [], name);
    assert.match(request.headers.authorization ?? "", /^Bearer ./, `${name}: carries a token`);
    assert.equal(request.query["api-version"], API_VERSION, `${name}: asks for the newest version`);
    // The description does not demand these headers, the documentation does.
    if (response.statusCode === 202) {
      assert.ok(response.headers.location, `${name}: says where to ask`);
      assert.match(response.headers["retry-after"] ?? "", /^\d+$/, `${name}: says when to ask`);
    }
  }
  assertSeen(simulator, exchanges);
  const statuses = new Set(exchanges.map(({ request, response }) => `${request.method} ${response.statusCode}`));
  t.diagnostic(`${exchanges.length} exchanges validated: ${[...statuses].sort().join(", ")}`);

  await t.test("and the validator refuses what is not", async () => {
    const done = exchanges.find((exchange) => exchange.response.body?.status === "Completed");
    const failed = exchanges.find((exchange) => exchange.response.body?.status === "Failed");
    const refused = exchanges.find((exchange) => exchange.response.statusCode === 404);
    const asked = exchanges.find((exchange) => exchange.request.method === "POST");
    const damaged = [
      [done, (exchange) => (exchange.response.body.manifest.byteCount = "many")],
      [done, (exchange) => (exchange.response.body.manifest.colour = "blue")],
      [failed, (exchange) => (exchange.response.body.error = "ServerTimeout")],
      [refused, (exchange) => (exchange.response.body.error.code = 404)],
      [asked, (exchange) => (exchange.request.body.billingPeriods = "202507")],
      [asked, (exchange) => delete exchange.request.query["api-version"]],
    ];
    for (const [exchange, damage] of damaged) {
      const copy = structuredClone(exchange);
      damage(copy);
      assert.notDeepEqual(await validator.problems(copy), [], `${damage}`);
    }
  });

  await t.test("the simulator takes the requests of Azure's own examples", async () => {
    const token = await fetchToken(simulator);
    const ofEnterprise = /^GenerateCostDetailsReportBy(BillingAccount|Departments|EnrollmentAccounts|Subscription).*\.json$/;
    const examples = readdirSync(EXAMPLES).filter((name) => ofEnterprise.test(name)).sort();
    assert.ok(examples.length > 0, `examples in ${EXAMPLES}`);
    let refused = 0;
    for (const example of examples) {
      const { scope, parameters } = JSON.parse(readFileSync(join(EXAMPLES, example), "utf8")).parameters;
      const url = `${recorder.origin}/${scope.replace(/^\//, "")}/providers/Microsoft.CostManagement/generateCostDetailsReport?api-version=${API_VERSION}`;
      const before = exchanges.length;
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(parameters) });
      await answer.text();
      assert.deepEqual(await validator.problems(exchanges[before]), [], `${example} -> ${answer.status}`);
      // The examples name scopes and dates that the simulated enrollment does not have; a refusal
      // must then be one in Azure's own form, which the validator has just checked.
      if (answer.status >= 400) refused += 1;
    }
    t.diagnostic(`${examples.length} official examples: ${examples.length - refused} accepted, ${refused} refused in Azure's form`);
  });
});

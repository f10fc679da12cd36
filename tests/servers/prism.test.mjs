// The same exchanges as in cost_details.test.mjs, judged by Prism, which knows Azure's description but
// nothing else of Azure. It stands between the two and stops what the description does not allow.
//
//   costlake run ──► recorder ──► Prism ──► costlake simulate

import { test } from "node:test";
import assert from "node:assert/strict";
import { API_VERSION, startPrism, withoutDescriptions } from "./descriptions.mjs";
import { assertSeen, fetchToken, nameOf, orderFaults, runEverything, startRecorder, startSimulator, workplace } from "./parts.mjs";

/// An answer that Prism gives itself is of this type. Where it refuses the simulator's, it has this header too.
const PROBLEM = "application/problem+json";
const VIOLATIONS = "sl-violations";

test("Prism finds nothing against a run", { skip: withoutDescriptions }, async (t) => {
  const place = workplace(t);
  const simulator = await startSimulator(place);
  const prism = await startPrism(place, simulator.origin);
  const recorder = await startRecorder(place, simulator, prism.origin);

  await runEverything(place, simulator, recorder);

  const { exchanges } = recorder;
  for (const exchange of exchanges) {
    const { headers, body } = exchange.response;
    assert.equal(headers[VIOLATIONS], undefined, nameOf(exchange));
    assert.notEqual(headers["content-type"], PROBLEM, `${nameOf(exchange)}: ${JSON.stringify(body)}`);
  }
  assertSeen(simulator, exchanges);
  t.diagnostic(`${exchanges.length} exchanges passed through Prism`);

  const authorization = `Bearer ${await fetchToken(simulator)}`;
  const path = `${simulator.scopes.subscription}/providers/Microsoft.CostManagement/generateCostDetailsReport`;
  const submit = ({ query = `api-version=${API_VERSION}`, body = { metric: "ActualCost" }, headers = { authorization } } = {}) =>
    fetch(`${prism.origin}${path}?${query}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: body && JSON.stringify(body),
    });

  await t.test("it stops a request that is not as described", async () => {
    assert.equal((await submit()).status, 202, "the request is right as it stands");
    const before = (await requestsOf(simulator)).submit;
    const wrong = [
      [{ query: "" }, 422],
      [{ body: null }, 422],
      [{ body: { metric: "Usage" } }, 422],
      [{ body: { billingPeriod: 202505 } }, 422],
      [{ body: { timePeriod: { start: "2025-05-01" } } }, 422],
      [{ headers: {} }, 401],
    ];
    for (const [request, status] of wrong) {
      const answer = await submit(request);
      assert.equal(answer.status, status, JSON.stringify(request));
      assert.equal(answer.headers.get("content-type"), PROBLEM, `${JSON.stringify(request)}: Prism says why`);
    }
    assert.equal((await requestsOf(simulator)).submit, before, "the simulator was not asked");
  });

  await t.test("it stops an answer that is not as described", async () => {
    const manifest = { manifestVersion: API_VERSION, dataFormat: "Csv", byteCount: 3, blobCount: 1, compressData: false, blobs: [] };
    const right = { id: "a", name: "a", status: "Completed", manifest, validTill: "2025-06-01T00:00:00.0000000Z" };
    const wrong = [
      { ...right, status: "Succeeded" },
      { ...right, validTill: "tomorrow" },
      { ...right, manifest: { ...manifest, byteCount: "3" } },
      { ...right, manifest: { ...manifest, dataFormat: "csv" } },
      { ...right, manifest: { ...manifest, blobs: {} } },
      { ...right, error: "ServerTimeout" },
    ];
    for (const [body, status] of [[right, 200], ...wrong.map((body) => [body, 500])]) {
      const text = JSON.stringify(body);
      await orderFaults(simulator, [{ route: "submit", action: { type: "reply", status: 200, body: text } }]);
      const answer = await submit();
      assert.equal(answer.status, status, text);
      assert.equal(answer.headers.has(VIOLATIONS), status !== 200, `${text}: Prism says why`);
    }
  });
});

async function requestsOf(simulator) {
  return (await (await fetch(`${simulator.origin}/_simulator/requests`)).json()).counts;
}

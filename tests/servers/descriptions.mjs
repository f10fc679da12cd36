// Azure's description of the Cost Details API, and the two judges that read it: oav, Azure's own
// validator, and Prism. The descriptions are not part of this repository: COSTLAKE_REFERENCE names the
// folder that holds `azure-specs`; without it the tests are skipped and say so.

import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import oav from "oav";
import { endOf, until } from "./parts.mjs";

export const API_VERSION = "2025-03-01";

const HERE = dirname(fileURLToPath(import.meta.url));
const PRISM = join(HERE, "node_modules/@stoplight/prism-cli/dist/index.js");
const REFERENCE = resolve(process.env.COSTLAKE_REFERENCE ?? "../shared/reference");
const SPECS = join(REFERENCE, "azure-specs");
const COST_MANAGEMENT = join(SPECS, "cost-management");
const NAME = "costmanagement.generatecostdetailsreport.json";
/// The older version has types that the newer one shares.
const OLDER = "2024-08-01";

const description = join(COST_MANAGEMENT, API_VERSION, NAME);
/// For the `skip` of a test.
export const withoutDescriptions = existsSync(description) ? false : `skipped: no Azure descriptions in ${SPECS} (set COSTLAKE_REFERENCE)`;

/// The folder of Azure's examples. The newer version's has one of them only.
export const EXAMPLES = join(COST_MANAGEMENT, OLDER, "examples");

/// The validator, over a tree of descriptions laid out as their relative references expect.
export async function azureValidator({ folder }) {
  const root = join(folder, "specification");
  const stable = join(root, "cost-management", "resource-manager", "Microsoft.CostManagement", "CostManagement", "stable", API_VERSION);
  mkdirSync(stable, { recursive: true });
  cpSync(description, join(stable, NAME));
  cpSync(join(COST_MANAGEMENT, API_VERSION, "examples"), join(stable, "examples"), { recursive: true });
  cpSync(EXAMPLES, join(stable, "examples"), { recursive: true });
  // The older version's common types serve both; there they lie one folder higher.
  const common = readFileSync(join(COST_MANAGEMENT, OLDER, "common-types.json"), "utf8");
  writeFileSync(join(stable, "common-types.json"), common.replaceAll('"../../../../../common-types', '"../../../../../../common-types'));
  cpSync(join(SPECS, "common-types"), join(root, "common-types"), { recursive: true });
  const validator = new oav.LiveValidator({
    directory: folder,
    swaggerPathsPattern: [`specification/**/${API_VERSION}/${NAME}`],
    loadValidatorInBackground: false,
  });
  await validator.initialize();
  return {
    /// What is wrong with an exchange; an empty list if nothing is.
    problems: async (exchange) => problems(await validator.validateLiveRequestResponse(toLive(exchange))),
  };
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

/// Starts Prism as a proxy: it answers 4xx or 500 by itself, with the header `sl-violations`, where a
/// request or an answer is not what the description says.
export async function startPrism({ folder, ends }, target) {
  const document = join(folder, "expanded.json");
  writeFileSync(document, JSON.stringify(expandedDescription()));
  const args = [PRISM, "proxy", "--errors", "-h", "127.0.0.1", "-p", "0", document, target];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said += text));
  ends.push(endOf(child));
  const origin = () => /listening on (http:\/\/[\d.:]+)/.exec(said)?.[1];
  await until(() => {
    assert.equal(child.exitCode, null, `Prism runs: ${said}`);
    return origin();
  }, "Prism is ready");
  return { origin: origin() };
}

/// The forms that a scope of an Enterprise Agreement has. Prism takes a parameter for one segment of a
/// path, and a scope has several.
const SCOPE_FORMS = [
  "/providers/Microsoft.Billing/billingAccounts/{billingAccountId}",
  "/providers/Microsoft.Billing/billingAccounts/{billingAccountId}/departments/{departmentId}",
  "/providers/Microsoft.Billing/departments/{departmentId}",
  "/providers/Microsoft.Billing/billingAccounts/{billingAccountId}/enrollmentAccounts/{enrollmentAccountId}",
  "/providers/Microsoft.Billing/enrollmentAccounts/{enrollmentAccountId}",
  "/subscriptions/{subscriptionId}",
];

/// The description as Prism can use it: one document, one path for every form of a scope.
function expandedDescription() {
  const original = readJson(description);
  const { definitions, parameters, ...document } = inlined(original, original);
  const paths = Object.entries(document.paths).flatMap(([path, operations]) =>
    SCOPE_FORMS.map((form) => [path.replace("/{scope}", form), withParametersOf(form, operations)]),
  );
  return { ...document, paths: Object.fromEntries(paths) };
}

function withParametersOf(form, operations) {
  const ids = [...form.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: "path", required: true, type: "string" }));
  return Object.fromEntries(
    Object.entries(operations).map(([method, operation]) => {
      const others = operation.parameters.filter(({ name }) => name !== "scope");
      return [method, { ...operation, parameters: [...ids, ...others] }];
    }),
  );
}

/// Puts what a reference points to in its place. Examples are left out: many are not there.
function inlined(value, document) {
  if (Array.isArray(value)) return value.map((item) => inlined(item, document));
  if (value === null || typeof value !== "object") return value;
  if (value.$ref) return referenced(value.$ref, document);
  const members = Object.entries(value).filter(([name]) => name !== "x-ms-examples");
  return Object.fromEntries(members.map(([name, member]) => [name, inlined(member, document)]));
}

function referenced(reference, document) {
  const [file, pointer] = reference.split("#");
  const other = file === "" ? document : readJson(placeOf(file));
  const target = pointer.split("/").slice(1).reduce((value, name) => value?.[name], other);
  assert.ok(target, `${reference} is there`);
  return inlined(target, other);
}

/// Where a file that is referred to lies here; the descriptions come from a tree of another shape.
function placeOf(file) {
  const common = file.indexOf("common-types/");
  return common >= 0 ? join(SPECS, file.slice(common)) : join(COST_MANAGEMENT, OLDER, file);
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

// The description of the routes, out of the server's own OpenAPI document.
import { ROOT, ask, at, element, notify, sentence, showModel } from "./server.js";

let schemas = {};

function resolved(schema) {
  const name = schema?.$ref?.split("/").at(-1);
  return name === undefined ? schema : { title: name, ...schemas[name] };
}

// A type in a word or two, as `list of numbers` or `LabelPrediction`.
function typeOf(given) {
  const schema = resolved(given);
  if (schema === undefined || Object.keys(schema).length === 0) return "anything";
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return choices.map(typeOf).join(" or ");
  if (schema.enum !== undefined) return schema.enum.map((value) => `“${value}”`).join(", ");
  if (schema.const !== undefined) return `“${schema.const}”`;
  if (given.$ref !== undefined) return schema.title;
  if (schema.items?.format === "binary") return "one file or several";
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? schema.prefixItems?.[0])}`;
  if (schema.format === "binary") return "file";
  return schema.type === "null" ? "none" : schema.type ?? "anything";
}

function fieldsOf(given) {
  const schema = resolved(given);
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => element(
    "tr", "",
    element("th", "", element("code", "", name)),
    element("td", "", typeOf(field), required.has(name) ? "" : ", optional"),
    element("td", "", resolved(field).description ?? ""),
  ));
  if (rows.length === 0) return element("p", "hint", sentence(typeOf(given)));
  return element("table", "fields", element("tbody", "", ...rows));
}

// Each schema of an answer that may be one of several.
function answersOf(schema) {
  return (schema.anyOf ?? [schema]).flatMap((each) => [element("h4", "", `Answer: ${typeOf(each)}`), fieldsOf(each)]);
}

function commandOf(path, method, operation) {
  const address = new URL(path.slice(1), ROOT).href.replace("%7Btext%7D", "A%20dog%20runs.");
  if (method === "get") return `curl ${address}`;
  const content = operation.requestBody.content;
  const multipart = content["multipart/form-data"];
  if (multipart !== undefined) return `curl -F ${Object.keys(multipart.schema.properties)[0]}=@FILE ${address}`;
  const schema = content["application/json"].schema;
  const known = { request_id: "REQUEST_ID", text: "A dog runs.", label: "LABEL", value: 1.5 };
  const wanted = schema.required ?? Object.keys(schema.properties).slice(0, 2);
  const body = Object.fromEntries(wanted.map((name) => [name, known[name] ?? name.toUpperCase()]));
  return `curl --json '${JSON.stringify(body)}' ${address}`;
}

function routeOf(path, method, operation) {
  const title = element("h3", "", element("code", "method", method.toUpperCase()), " ", element("code", "", path));
  const route = element("section", "route", title, element("p", "", operation.summary));
  route.append(element("pre", "", element("code", "", commandOf(path, method, operation))));
  for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
    route.append(element("h4", "", `Takes ${type}`), fieldsOf(schema));
  }
  const answer = operation.responses["200"]?.content?.["application/json"]?.schema;
  if (answer !== undefined) route.append(...answersOf(answer));
  const refusals = Object.keys(operation.responses).filter((status) => status !== "200");
  if (refusals.length > 0) route.append(element("p", "hint", `Refusals: ${refusals.join(", ")}`));
  return route;
}

async function showRoutes() {
  const described = await ask("openapi.json");
  schemas = described.components.schemas;
  at("about").replaceChildren(
    "What this server takes and gives. Programs read the same as ",
    Object.assign(element("a", "", "openapi.json"), { href: new URL("openapi.json", ROOT).href }), ".",
  );
  const routes = Object.entries(described.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => routeOf(path, method, operation)));
  const named = Object.entries(schemas)
    .filter(([, schema]) => schema.properties !== undefined)
    .map(([name, schema]) => element("section", "route", element("h3", "", element("code", "", name)),
      element("p", "", schema.description ?? ""), fieldsOf(schema)));
  at("routes").replaceChildren(...routes, element("h2", "", "What the names mean"), ...named);
}

showModel();
showRoutes().catch((error) => notify(`${sentence(error.message)} ${error.next ?? ""}`.trim()));

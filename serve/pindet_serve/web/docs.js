// The API, from /openapi.json: every route with its parameters, bodies, answers and a line for the shell.

import { ask } from "./api.js";
import { copyButton, loading } from "./dialog.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { schemaView } from "./schema.js";
import { mark } from "./sign-in.js";
import { switches } from "./switches.js";

const SOCKETS = /** @type {const} */ ([["/ws/status", "docs.status"], ["/v1/stream", "docs.stream"]]);

function show() {
  document.title = `${t("docs.title")} · pindet`;
  const search = h("input", {
    type: "search",
    id: "filter",
    placeholder: t("docs.filter"),
    "aria-label": t("docs.filter"),
  });
  const routes = h("div", { class: "stack wide-gap" });
  fill(
    /** @type {Element} */ (document.getElementById("app")),
    h(
      "header",
      {},
      h("a", { class: "brand", href: "/" }, mark(), "pindet"),
      h("nav", { "aria-label": t("app.views") }, h("a", { href: "/" }, t("docs.back"))),
      h("div", { class: "tools" }, switches(show)),
    ),
    h(
      "main",
      { class: "docs" },
      h("div", { class: "row between" }, h("h1", {}, t("docs.title")), search),
      h("p", { class: "muted" }, t("docs.intro")),
      routes,
    ),
  );
  void loading(routes, async () => {
    /** @type {OpenApi & { paths: Record<string, Record<string, Operation>> }} */
    const openapi = await ask("/openapi.json");
    const cards = Object.entries(openapi.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        tag: operation.tags?.[0] ?? "",
        element: route(path, method, operation, openapi),
      }))
    );
    const groups = Object.entries(Object.groupBy(cards, ({ tag }) => tag)).map(([tag, some]) =>
      h("section", { class: "stack" }, h("h2", {}, tag), ...(some ?? []).map(({ element }) => element))
    );
    const sockets = h(
      "section",
      { class: "stack" },
      h("h2", {}, t("docs.sockets")),
      ...SOCKETS.map(([path, key]) =>
        h(
          "div",
          { class: "card row" },
          h("span", { class: "method ws" }, "WS"),
          h("code", {}, path),
          h("span", { class: "muted" }, t(key)),
        )
      ),
    );
    const none = h("p", { class: "muted", hidden: true }, t("docs.none"));
    search.addEventListener("input", () => filter(search.value, [...groups, sockets], none));
    return [...groups, sockets, none];
  });
}

/**
 * @param {string} text
 * @param {HTMLElement[]} groups
 * @param {HTMLElement} none
 */
function filter(text, groups, none) {
  const wanted = text.trim().toLowerCase();
  for (const group of groups) {
    const cards = /** @type {HTMLElement[]} */ ([...group.querySelectorAll(".card")]);
    for (const card of cards) card.hidden = !card.textContent?.toLowerCase().includes(wanted);
    group.hidden = cards.every((card) => card.hidden);
  }
  none.hidden = groups.some((group) => !group.hidden);
}

/**
 * @param {string} path
 * @param {string} method
 * @param {Operation} operation
 * @param {OpenApi} openapi
 */
function route(path, method, operation, openapi) {
  const parameters = (operation.parameters ?? []).map((one) =>
    h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        h("code", {}, one.name),
        one.required ? h("small", { class: "muted" }, ` ${t("docs.required")}`) : null,
      ),
      h("td", {}, schemaView(one.schema, openapi)),
      h("td", {}, one.description ?? one.schema.description ?? ""),
    )
  );
  const answers = Object.entries(operation.responses).map(([status, answer]) =>
    h(
      "details",
      { open: status.startsWith("2") },
      h(
        "summary",
        {},
        h("span", { class: `tag ${status.startsWith("2") ? "good" : ""}` }, status),
        " ",
        answer.description ?? "",
      ),
      ...bodies(answer, openapi),
    )
  );
  const body = operation.requestBody ? [h("h3", {}, t("docs.body")), ...bodies(operation.requestBody, openapi)] : [];
  const command = shell(path, method, operation);
  return h(
    "details",
    { class: "card route", id: `${method}${path.replaceAll("/", "-")}` },
    h(
      "summary",
      {},
      h("span", { class: `method ${method}` }, method.toUpperCase()),
      " ",
      h("code", {}, path),
      " ",
      h("span", { class: "muted" }, firstSentence(operation.description ?? operation.summary ?? "")),
    ),
    h(
      "div",
      { class: "stack" },
      h("p", { class: "text" }, operation.description ?? ""),
      ...(parameters.length
        ? [
          h("h3", {}, t("docs.parameters")),
          h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, ...parameters))),
        ]
        : []),
      ...body,
      h("h3", {}, t("docs.answers")),
      ...answers,
      h("h3", {}, t("docs.example")),
      h("div", { class: "row" }, h("code", { class: "command" }, command), copyButton(command, t("docs.example"))),
    ),
  );
}

/**
 * @param {Content} content
 * @param {OpenApi} openapi
 */
function bodies({ content = {} }, openapi) {
  /** @type {Map<string, string[]>} */
  const types = new Map();
  for (const [type, { schema }] of Object.entries(content)) {
    const key = JSON.stringify(schema ?? {});
    types.set(key, [...(types.get(key) ?? []), type]);
  }
  return [...types].map(([schema, names]) =>
    h(
      "div",
      { class: "body" },
      h("small", { class: "muted" }, names.join(", ")),
      schemaView(JSON.parse(schema), openapi),
    )
  );
}

/**
 * @param {string} path
 * @param {string} method
 * @param {Operation} operation
 */
function shell(path, method, operation) {
  const parts = ["curl"];
  if (method !== "get") parts.push(`-X ${method.toUpperCase()}`);
  if (operation.security) parts.push('-H "Authorization: Bearer $TOKEN"');
  const types = Object.keys(operation.requestBody?.content ?? {});
  if (types.includes("multipart/form-data")) parts.push("-F images=@photo.jpg");
  else if (types.includes("application/x-www-form-urlencoded")) parts.push("-d username=NAME -d password=PASSWORD");
  else if (types.includes("application/json")) parts.push("-H 'Content-Type: application/json' -d @body.json");
  else if (types.length) parts.push(`-H 'Content-Type: ${types[0]}' --data-binary @file`);
  return `${parts.join(" ")} ${location.origin}${path}`;
}

/** @param {string} text */
function firstSentence(text) {
  return text.split(/(?<=[.;:])\s|\n/)[0].replace(/[.;:]$/, "");
}

show();

// A JSON schema of the OpenAPI document, as people read it.

import { h } from "./dom.js";
import { t } from "./i18n.js";

const DEEPEST = 4;

/**
 * @param {Schema | undefined} schema
 * @param {OpenApi} openapi
 * @param {number} [depth]
 * @returns {HTMLElement}
 */
export function schemaView(schema, openapi, depth = 0) {
  const { whole, object } = resolved(schema, openapi);
  const name = h("span", { class: "mono" }, typeName(schema, openapi));
  if (!object?.properties || depth >= DEEPEST) return h("span", {}, name, limits(whole));
  const rows = Object.entries(object.properties).map(([key, value]) => {
    const nested = resolved(value, openapi).object?.properties
      ? schemaView(value, openapi, depth + 1)
      : typeView(value, openapi);
    return h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        h("code", {}, key),
        object.required?.includes(key) ? h("small", { class: "muted" }, ` ${t("docs.required")}`) : null,
      ),
      h("td", {}, nested),
      h("td", {}, value.description ?? ""),
    );
  });
  const table = h("table", {}, h("tbody", {}, ...rows));
  return depth ? h("details", {}, h("summary", {}, name), table) : h("div", { class: "scroll" }, name, table);
}

/**
 * @param {Schema} schema
 * @param {OpenApi} openapi
 */
function typeView(schema, openapi) {
  return h("span", {}, h("span", { class: "mono" }, typeName(schema, openapi)), limits(schema));
}

/**
 * The schema behind references and lists, and the object in it if there is one.
 *
 * @param {Schema | undefined} schema
 * @param {OpenApi} openapi
 * @returns {{ whole: Schema, object: Schema | null }}
 */
function resolved(schema = {}, openapi) {
  if (schema.$ref) return resolved(referred(schema.$ref, openapi), openapi);
  if (schema.items) return { whole: schema, object: resolved(schema.items, openapi).object };
  for (const one of schema.anyOf ?? schema.allOf ?? []) {
    const { object } = resolved(one, openapi);
    if (object) return { whole: schema, object };
  }
  return { whole: schema, object: schema.properties ? schema : null };
}

/**
 * @param {Schema | undefined} schema
 * @param {OpenApi} openapi
 * @returns {string}
 */
function typeName(schema = {}, openapi) {
  if (schema.$ref) return /** @type {string} */ (schema.$ref.split("/").pop());
  if (schema.items) return `[${typeName(schema.items, openapi)}]`;
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf ?? schema.allOf) {
    return (schema.anyOf ?? schema.allOf ?? []).map((one) => typeName(one, openapi)).join(" | ");
  }
  return schema.format ? `${schema.type} (${schema.format})` : (schema.type ?? "any");
}

/** @param {Schema} schema */
function limits(schema) {
  const inner = schema.anyOf?.find((one) => one.type !== "null") ?? schema;
  const said = [];
  if (inner.minimum !== undefined || inner.maximum !== undefined) {
    said.push(`${inner.minimum ?? ""} … ${inner.maximum ?? ""}`);
  }
  if (inner.minLength !== undefined || inner.maxLength !== undefined) {
    said.push(`${inner.minLength ?? 0} … ${inner.maxLength ?? ""}`);
  }
  if (schema.default !== undefined && schema.default !== null) said.push(`= ${JSON.stringify(schema.default)}`);
  return said.length ? h("small", { class: "muted" }, ` ${said.join(", ")}`) : null;
}

/**
 * @param {string} reference
 * @param {OpenApi} openapi
 */
function referred(reference, openapi) {
  return openapi.components.schemas[/** @type {string} */ (reference.split("/").pop())];
}

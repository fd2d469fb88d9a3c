// Users: who may sign in, in which role; and who did what.

import { ask } from "../api.js";
import { confirm, loading, notify, told } from "../dialog.js";
import { fill, h } from "../dom.js";
import { moment } from "../format.js";
import { t, tOr } from "../i18n.js";
import { card, dataTable, field, paged, select } from "../table.js";

/** @type {Role[]} */
const ROLES = ["viewer", "operator", "admin"];
/** Within so long it is written who did what, ms. */
const WRITTEN_MS = 2500;
const WEEK_MS = 7 * 24 * 3_600_000;
const PAGE = 50;

/** @type {Mount} */
export function mount(root, app) {
  const list = h("div");
  const deeds = h("div");
  if (!app.session.me?.sign_in || !app.session.may("admin")) {
    const why = app.session.me?.sign_in ? t("users.only_admin") : t("users.off");
    fill(root, h("h1", {}, t("view.users")), h("p", { class: "card muted" }, why));
    return () => {};
  }
  const load = async () => {
    await loading(list, async () => [table(await ask("/v1/users"), app, changed)]);
    await loading(deeds, audit);
  };
  const changed = async () => {
    await load();
    setTimeout(() => deeds.isConnected && loading(deeds, audit), WRITTEN_MS);
  };
  fill(
    root,
    h(
      "div",
      { class: "row between" },
      h("h1", {}, t("view.users")),
      h("button", { class: "primary", onclick: () => add(changed) }, t("users.add")),
    ),
    h("section", { class: "card" }, list),
    card(t("users.audit"), deeds),
  );
  void load();
  return () => {};
}

/**
 * @param {User[]} users
 * @param {App} app
 * @param {Load} load
 */
function table(users, app, load) {
  const head = [t("common.name"), t("users.role"), t("users.state"), t("users.created"), t("users.actions")];
  const body = h("tbody", {}, ...users.map((user) => row(user, app, load)));
  return dataTable(t("view.users"), head, body, { id: "users" });
}

/**
 * @param {User} user
 * @param {App} app
 * @param {Load} load
 */
function row(user, app, load) {
  const own = user.name === app.session.me?.name;
  const role = roles(undefined, user.role);
  role.setAttribute("aria-label", t("users.role_of", { name: user.name }));
  role.id = `role-of-${user.name}`;
  role.addEventListener("change", async () => {
    const title = t("users.role_title", { name: user.name, role: t(`role.${/** @type {Role} */ (role.value)}`) });
    if (!(await change(user, { role: role.value }, load, role, title))) role.value = user.role;
  });
  const named = (/** @type {string} */ action) => ({ class: "small", "aria-label": `${action}: ${user.name}` });
  const text = t(user.enabled ? "users.disable" : "users.enable");
  const toggle = h("button", { ...named(text), id: `sign-in-of-${user.name}` }, text);
  const title = user.enabled ? t("users.disable_title", { name: user.name }) : "";
  toggle.addEventListener("click", () => change(user, { enabled: !user.enabled }, load, toggle, title));
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, user.name, " ", own && h("span", { class: "tag accent" }, t("users.you"))),
    h("td", {}, role),
    h(
      "td",
      {},
      h("span", { class: user.enabled ? "tag good" : "tag bad" }, t(user.enabled ? "users.enabled" : "users.disabled")),
    ),
    h("td", { class: "nowrap" }, moment(user.created_ms)),
    h(
      "td",
      {},
      h(
        "div",
        { class: "buttons" },
        h("button", { ...named(t("users.reset")), onclick: () => reset(user, load) }, t("users.reset")),
        toggle,
        h("button", {
          ...named(t("users.remove")),
          class: "small danger",
          onclick: () => remove(user, load),
        }, t("users.remove")),
      ),
    ),
  );
}

/**
 * Change a user; afterwards the control, drawn anew, has the focus again.
 *
 * @param {User} user
 * @param {Record<string, unknown>} json
 * @param {Load} load
 * @param {HTMLElement} control
 * @param {string} title of the question whether to; empty where none is needed
 * @returns {Promise<boolean>} whether it was carried out
 */
async function change(user, json, load, control, title) {
  const run = async () => {
    await ask(`/v1/users/${encodeURIComponent(user.name)}`, { method: "PATCH", json });
    notify(t("users.changed", { name: user.name }));
  };
  if (title) {
    const act = { action: t("stage.change"), danger: true, run };
    if (!(await confirm(title, [h("p", {}, t("users.remove_text"))], act))) return false;
  } else await run().catch((error) => notify(told(error), "bad"));
  await load();
  if (document.activeElement === document.body) document.getElementById(control.id)?.focus();
  return true;
}

/** @param {Load} load */
async function add(load) {
  const name = h("input", { id: "new-name", required: true, maxLength: 64, autocomplete: "off" });
  const password = passwordInput("new-password");
  const role = roles("new-role", "viewer");
  const content = [
    field("new-name", t("common.name"), name, t("users.name_hint")),
    field("new-password", t("common.password"), password, t("users.password_hint")),
    field("new-role", t("users.role"), role),
  ];
  const run = async () => {
    await ask("/v1/users", {
      method: "POST",
      json: { name: name.value.trim(), password: password.value, role: role.value },
    });
    notify(t("users.added", { name: name.value.trim() }));
  };
  if (await confirm(t("users.add"), content, { action: t("users.add"), run })) await load();
}

/**
 * @param {User} user
 * @param {Load} load
 */
async function reset(user, load) {
  const password = passwordInput("new-password");
  const run = async () => {
    await ask(`/v1/users/${encodeURIComponent(user.name)}`, { method: "PATCH", json: { password: password.value } });
    notify(t("users.changed", { name: user.name }));
  };
  const content = [field("new-password", t("common.password"), password, t("users.password_hint"))];
  if (await confirm(t("users.reset_title", { name: user.name }), content, { action: t("users.reset"), run })) {
    await load();
  }
}

/**
 * @param {User} user
 * @param {Load} load
 */
async function remove(user, load) {
  const run = async () => {
    await ask(`/v1/users/${encodeURIComponent(user.name)}`, { method: "DELETE" });
    notify(t("users.removed", { name: user.name }));
  };
  const act = { action: t("users.remove"), danger: true, run };
  if (await confirm(t("users.remove_title", { name: user.name }), [h("p", {}, t("users.remove_text"))], act)) {
    await load();
  }
}

async function audit() {
  const query = { since_ms: Date.now() - WEEK_MS, limit: PAGE };
  const { body, more } = await paged("/v1/audit", query, (page) => page.deeds, deed);
  if (!body.hasChildNodes()) return [h("p", { class: "muted" }, t("users.no_deeds"))];
  const head = [
    t("common.when"),
    t("common.who"),
    t("users.did"),
    t("users.target"),
    t("users.outcome"),
    t("users.address"),
  ];
  return [dataTable(t("users.audit"), head, body, { id: "deeds" }), more];
}

/** @param {Deed} one */
function deed(one) {
  const details = Object.entries(one.details).filter(([, value]) => value !== null && value !== false).map((
    [name, value],
  ) => `${tOr(`users.detail.${name}`, name)}: ${tOr(`role.${value}`, String(value))}`).join(", ");
  return h(
    "tr",
    {},
    h("td", { class: "nowrap" }, moment(one.at_ms)),
    h("td", {}, one.actor),
    h("td", {}, tOr(`users.did.${one.action}`, one.action)),
    h(
      "td",
      {},
      h("code", {}, one.target.length > 24 ? `${one.target.slice(0, 12)}…` : one.target),
      details && h("small", { class: "muted" }, ` ${details}`),
    ),
    h(
      "td",
      {},
      h(
        "span",
        { class: one.outcome === "done" ? "tag good" : "tag bad" },
        tOr(`users.outcome.${one.outcome}`, one.outcome),
      ),
    ),
    h("td", {}, one.address),
  );
}

/** @param {string} id */
function passwordInput(id) {
  return h("input", {
    id,
    type: "password",
    required: true,
    minLength: 10,
    maxLength: 256,
    autocomplete: "new-password",
  });
}

/**
 * @param {string | undefined} id
 * @param {Role} value
 */
function roles(id, value) {
  return select(id, ROLES.map((one) => [one, t(`role.${one}`)]), value);
}

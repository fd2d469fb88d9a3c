// Asks for name and password: alone at first, above what was on the screen when a sign-in has ended.

import { told } from "./dialog.js";
import { h, s, say } from "./dom.js";
import { t } from "./i18n.js";
import { switches } from "./switches.js";

/** @param {App} app */
export function askToSignIn(app) {
  document.getElementById("sign-in")?.remove();
  const again = app.session.me !== null;
  const name = h("input", {
    id: "name",
    autocomplete: "username",
    required: true,
    maxLength: 64,
    value: app.session.me?.name ?? "",
  });
  const password = h("input", { id: "password", type: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const go = h("button", { class: "primary wide", type: "submit" }, t("sign_in.title"));
  const form = h(
    "form",
    { class: "stack" },
    mark(),
    h("h1", { id: "sign-in-title" }, again ? t("sign_in.again") : t("sign_in.title")),
    h("p", { class: "muted" }, again ? t("sign_in.ended") : t("app.tagline")),
    h("label", { htmlFor: "name" }, t("common.name")),
    name,
    h("label", { htmlFor: "password" }, t("common.password")),
    password,
    problem,
    go,
    switches(() => askToSignIn(app)),
  );
  const dialog = h("dialog", { id: "sign-in", class: "card", "aria-labelledby": "sign-in-title" }, form);
  // Nothing is behind it that could be used without a sign-in.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  // Browsers let a second Escape close it all the same.
  dialog.addEventListener("close", () => app.session.needed && dialog.isConnected && dialog.showModal());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    const before = app.session.me?.name;
    try {
      await app.session.signIn(name.value.trim(), password.value);
      dialog.close();
      dialog.remove();
      if (before !== undefined && before !== app.session.me?.name) location.reload();
    } catch (error) {
      say(problem, told(error));
      password.select();
    } finally {
      go.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  (name.value ? password : name).focus();
}

/** The sign of the page. */
export function mark() {
  return s(
    "svg",
    { class: "mark", viewBox: "0 0 32 32", "aria-hidden": "true" },
    s("path", {
      d: "M5 11V8a3 3 0 0 1 3-3h3M21 5h3a3 3 0 0 1 3 3v3M27 21v3a3 3 0 0 1-3 3h-3M11 27H8a3 3 0 0 1-3-3v-3",
    }),
    s("circle", { cx: 16, cy: 16, r: 4.2 }),
  );
}

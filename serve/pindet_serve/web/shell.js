// What surrounds the views: navigation, who is signed in, and whether what is shown is live.

import { fill, h, say } from "./dom.js";
import { age, clock } from "./format.js";
import { current, t } from "./i18n.js";
import { mark } from "./sign-in.js";
import { switches } from "./switches.js";
import * as historyView from "./views/history.js";
import * as live from "./views/live.js";
import * as models from "./views/models.js";
import * as tryView from "./views/try.js";
import * as users from "./views/users.js";

const VIEWS = /** @type {const} */ (["live", "try", "models", "history", "users"]);
/** @type {Record<typeof VIEWS[number], { mount: Mount }>} */
const MODULES = { live, try: tryView, models, history: historyView, users };

export class Shell {
  #leave = () => {};
  #shown = "";

  /**
   * @param {App} app
   * @param {HTMLElement} root
   */
  constructor(app, root) {
    this.app = app;
    this.root = root;
    this.pill = h("div", { class: "pill", role: "status", id: "connection" });
    this.state = h("strong", { role: "alert" });
    this.since = h("span");
    this.next = h("span");
    this.retry = h("button", { class: "small", onclick: () => app.socket.retryNow() });
    this.banner = h("section", { class: "banner", hidden: true }, this.state, this.since, this.next, this.retry);
    addEventListener("hashchange", () => this.app.session.me && this.#open());
    app.socket.addEventListener("state", () => this.#tellConnection());
    setInterval(() => this.#tellConnection(), 1000);
  }

  /** Draw everything, after a sign-in or in another language. */
  show() {
    const { me } = this.app.session;
    const what = `${me?.name} ${me?.role} ${current()}`;
    // The same person signed in again: what is on the screen stays as it is.
    if (what === this.#shown) return;
    this.#shown = what;
    this.#draw();
  }

  #draw() {
    const { session } = this.app;
    const links = VIEWS.filter((name) => name !== "users" || (session.may("admin") && session.me?.sign_in));
    this.links = links.map((name) => h("a", { href: `#/${name}` }, t(`view.${name}`)));
    this.main = h("main", { id: "main", tabIndex: -1 });
    const person = session.me?.sign_in
      ? h(
        "div",
        { class: "person" },
        h("span", {}, session.me.name, " ", h("small", {}, t(`role.${session.me.role}`))),
        h("button", {
          class: "quiet",
          onclick: () => {
            session.signOut();
            location.reload();
          },
        }, t("sign_in.leave")),
      )
      : null;
    fill(
      this.root,
      h("a", {
        class: "skip",
        href: "#main",
        onclick: (/** @type {Event} */ event) => this.#skip(event),
      }, t("app.skip")),
      h(
        "header",
        {},
        h("a", { class: "brand", href: "#/live" }, mark(), "pindet"),
        h("nav", { "aria-label": t("app.views") }, ...this.links),
        h(
          "div",
          { class: "tools" },
          this.pill,
          switches(() => this.show()),
          person,
        ),
      ),
      this.banner,
      this.main,
      h("footer", {}, h("a", { href: "/docs" }, t("app.api")), h("span", {}, t("app.tagline"))),
    );
    this.#open();
    this.#tellConnection();
  }

  /** @param {Event} event */
  #skip(event) {
    event.preventDefault();
    this.main?.focus();
  }

  #open() {
    const name = VIEWS.find((one) => location.hash === `#/${one}`) ?? "live";
    this.#leave();
    for (const link of this.links ?? []) {
      if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${t(`view.${name}`)} · pindet`;
    const main = /** @type {HTMLElement} */ (this.main);
    main.className = `view-${name}`;
    fill(main);
    this.#leave = MODULES[name].mount(main, this.app);
  }

  #tellConnection() {
    const { socket } = this.app;
    const { state } = socket;
    const now = Date.now();
    const text = t(`connection.${state}`);
    if (this.pill.dataset.state !== state || this.pill.textContent !== text) {
      this.pill.dataset.state = state;
      fill(this.pill, h("i", { class: "dot" }), text);
    }
    const quiet = state === "live" || state === "stopped" || (state === "connecting" && !socket.heardAt) ||
      state === "signed_out";
    this.banner.hidden = quiet;
    this.banner.setAttribute("aria-label", t("connection.label"));
    document.body.classList.toggle("not-live", state !== "live");
    if (quiet) return say(this.state, "");
    const since = socket.heardAt &&
      t("connection.since", { time: clock(socket.heardAt), age: age((now - socket.heardAt) / 1000) });
    const reason = socket.reason && t("connection.reason", { reason: socket.reason.replace(/[.。]$/, "") });
    const seconds = Math.max(0, Math.ceil((socket.retryAt - now) / 1000));
    say(this.state, text);
    say(this.since, [since, reason].filter(Boolean).join(" "));
    say(this.next, state === "waiting" ? t("connection.next", { seconds }) : "");
    say(this.retry, state === "waiting" ? t("connection.retry") : "");
  }
}

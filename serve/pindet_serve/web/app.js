// Starts the page: who is asking, the status feed, and the view that the address names.

import { ask } from "./api.js";
import { fill, h } from "./dom.js";
import { told } from "./dialog.js";
import { t } from "./i18n.js";
import { Session } from "./session.js";
import { Shell } from "./shell.js";
import { askToSignIn } from "./sign-in.js";
import { StatusSocket } from "./socket.js";
import { Store } from "./store.js";
import { isStale } from "./views/live-replicas.js";

/** What every view is given. */
export class App {
  session = new Session();
  store = new Store();
  /** @type {Promise<Model> | null} */ #model = null;
  #md5 = "";

  constructor() {
    const serverNow = () => Date.now() + this.session.clockOffset;
    this.socket = new StatusSocket((event) => this.store.take(event), () => this.session.ticket(), serverNow);
    this.shell = new Shell(this, /** @type {HTMLElement} */ (document.getElementById("app")));
    this.session.addEventListener("change", () => this.#follow());
    this.store.addEventListener("change", () => this.#forgetModel());
  }

  async start() {
    const place = /** @type {HTMLElement} */ (document.getElementById("app"));
    for (let wait = 1000;; wait = Math.min(30_000, wait * 2)) {
      try {
        await this.session.start();
        return;
      } catch (error) {
        fill(place, h("main", { class: "alone" }, h("div", { class: "card problem", role: "alert" }, told(error))));
        await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
      }
    }
  }

  /** What is served, remembered until another is. @returns {Promise<Model>} */
  model() {
    return this.#model ?? this.#askModel();
  }

  /** @returns {Promise<Model>} */
  async #askModel() {
    const asked = this.#model = ask("/v1/model");
    try {
      const model = await asked;
      if (asked === this.#model) this.#md5 = model.md5;
      return model;
    } catch (error) {
      if (asked === this.#model) this.#model = null;
      throw error;
    }
  }

  /** Ask anew next time. */
  forgetModel() {
    this.#model = null;
    this.#md5 = "";
  }

  #forgetModel() {
    const now = Date.now();
    // One that is silent may be the process before a restart.
    const heard = [...this.store.replicas.values()].filter((replica) => !isStale(replica, now, true));
    const served = heard.map((replica) => replica.beat.model?.md5);
    if (this.#md5 && served.length && !served.includes(this.#md5)) this.forgetModel();
  }

  #follow() {
    const { session, socket } = this;
    if (session.needed) {
      socket.stop("signed_out");
      askToSignIn(this);
    } else {
      this.shell.show();
      socket.start();
    }
  }
}

document.title = t("app.title");
void new App().start();

// Try: images of one's own, what is found in them, and what a threshold makes of it.

import { confirm, notify, told } from "../dialog.js";
import { fill, h, save, say } from "../dom.js";
import { t } from "../i18n.js";
import { COLOURS, Overlay, paint } from "../overlay.js";
import { camera } from "../camera.js";
import { toCoco } from "../coco.js";
import { LEAST, mayBeRepeated, Tray } from "../tray.js";
import { counted, factsOf, ObjectTable } from "./try-objects.js";
import { Thumbs } from "./try-thumbs.js";

/** Kept while the page is open, whatever view or language is shown. */
const tray = new Tray();
const chosen = {
  /** @type {Item | null} */ item: null,
  /** @type {number | null} the model's own while null */ threshold: null,
  /** @type {Set<string>} */ hidden: new Set(),
};

/** By letter; and by place, for keyboards and input methods that have another letter there. */
const BRACKETS = /** @type {Record<string, number>} */ ({
  "[": -0.05,
  "]": 0.05,
  BracketLeft: -0.05,
  BracketRight: 0.05,
});

/** @type {Mount} */
export function mount(root, app) {
  const view = new TryView(root, app);
  return () => view.close();
}

class TryView {
  /** @type {Model | null} */ #model = null;
  #frame = 0;
  /** @type {Item | null | undefined} */ #drawn = undefined;
  #drawnVersion = -1;
  #listTimer = 0;
  leave = new AbortController();

  /**
   * @param {HTMLElement} root
   * @param {App} app
   */
  constructor(root, app) {
    this.app = app;
    this.overlay = new Overlay();
    this.file = h("input", {
      type: "file",
      accept: "image/*",
      multiple: true,
      class: "offscreen",
      tabIndex: -1,
      "aria-hidden": "true",
    });
    this.file.addEventListener("change", () => this.#add([...(this.file.files ?? [])]));
    const pick = h("button", { class: "primary", onclick: () => this.file.click() }, t("try.pick"));
    this.cameraButton = h("button", { onclick: () => this.#toggleCamera() });
    this.cameraProblem = problem();
    this.drop = h(
      "div",
      { class: "drop" },
      h("span", {}, t("try.drop")),
      pick,
      this.cameraButton,
      this.file,
      h("small", { class: "muted" }, t("try.private")),
      this.cameraProblem,
    );
    this.slider = h("input", { type: "range", id: "threshold", min: 0, max: 1, step: 0.01, class: "wide" });
    this.slider.addEventListener("input", () => this.#threshold(Number(this.slider.value)));
    this.value = h("output", { htmlFor: "threshold", class: "number" });
    this.default = h("small", { class: "muted" });
    this.classes = h("div", { class: "chips" });
    this.found = h("p", { class: "found", role: "status" });
    this.thumbs = new Thumbs((item) => this.#choose(item), (one) => this.#isShown(one));
    this.problem = problem();
    this.note = h("p", { class: "muted" });
    this.again = h("button", { class: "small", onclick: () => chosen.item && tray.again(chosen.item) }, t("action.again"));
    this.stage = h("div", { class: "stage" }, this.problem, this.again, this.note, this.overlay.element);
    this.facts = h("p", { class: "muted small facts" });
    this.objects = new ObjectTable((detection) => this.overlay.mark(detection));
    const region = { class: "scroll objects", tabIndex: 0, role: "region", "aria-label": t("common.objects") };
    this.list = h("div", region, this.objects.element);
    this.remove = h("button", { class: "small", onclick: () => this.#remove() }, "✕");
    this.clear = h("button", { class: "small", onclick: () => this.#clear() }, t("try.clear"));
    this.saves = [
      h("button", { class: "small", onclick: () => this.#savePicture() }, t("try.save_picture")),
      h("button", { class: "small", onclick: () => this.#saveCoco() }, t("try.save_coco")),
    ];
    this.saving = h("div", { class: "buttons", hidden: true }, ...this.saves, this.remove, this.clear);
    fill(
      root,
      h("h1", {}, t("try.title")),
      this.drop,
      h(
        "div",
        { class: "try" },
        h("div", { class: "card stack" }, this.thumbs.element, this.stage, this.facts),
        h(
          "aside",
          { class: "card stack" },
          h("div", { class: "row between" }, h("label", { htmlFor: "threshold" }, t("common.threshold")), this.value),
          this.slider,
          this.default,
          this.#classesHead(),
          this.classes,
          this.found,
          this.list,
          this.saving,
        ),
      ),
      h("p", { class: "muted small" }, t("try.keys")),
    );
    this.#listen();
    void this.#start();
  }

  close() {
    this.leave.abort();
    camera.stop();
    clearTimeout(this.#listTimer);
    cancelAnimationFrame(this.#frame);
    this.overlay.close();
  }

  #listen() {
    const { signal } = this.leave;
    // A file that is dropped beside the view would be opened instead of the page.
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.drop.classList.add("over");
    }, { signal });
    document.addEventListener("dragleave", () => this.drop.classList.remove("over"), { signal });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.drop.classList.remove("over");
      this.#add([...(event.dataTransfer?.files ?? [])]);
    }, { signal });
    document.addEventListener("paste", (event) => this.#add([...(event.clipboardData?.files ?? [])]), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    tray.addEventListener("change", () => this.#soon(), { signal });
    camera.addEventListener("change", () => this.#soon(), { signal });
  }

  async #start() {
    this.#soon();
    await this.#takeModel((error) => notify(told(error), "bad"));
    this.app.store.addEventListener("change", () => this.#takeModel(), { signal: this.leave.signal });
    this.#drawn = undefined;
    this.#soon();
  }

  /**
   * Show the classes and the threshold of what is served now.
   * @param {(error: unknown) => void} [failed]
   */
  async #takeModel(failed) {
    try {
      const model = await this.app.model();
      if (model.md5 === this.#model?.md5 || this.leave.signal.aborted) return;
      this.#model = model;
      this.#drawClasses();
      this.#soon();
    } catch (error) {
      failed?.(error);
    }
  }

  /** @param {File[]} files */
  #add(files) {
    for (const file of files) {
      // A type that the browser does not know may still be one that the server does.
      if (file.type && !file.type.startsWith("image/")) notify(t("try.not_image", { name: file.name }), "bad");
      else chosen.item = tray.add(file);
    }
    this.file.value = "";
    if (files.length) camera.stop();
  }

  get #least() {
    return chosen.threshold ?? this.#model?.score_threshold ?? 0.5;
  }

  /** @param {number} value */
  #threshold(value) {
    chosen.threshold = Math.min(1, Math.max(LEAST, value));
    this.#soon();
  }

  /** @returns {{ item: Item | null, all: Detection[], shown: Detection[] }} */
  #now() {
    const item = camera.running ? camera.item : chosen.item;
    const all = item?.answer?.detections ?? [];
    const shown = all.filter((one) => this.#isShown(one));
    return { item, all, shown };
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    if (chosen.item && !tray.items.includes(chosen.item)) chosen.item = tray.items.at(-1) ?? null;
    tray.show(chosen.item);
    const { item, all, shown } = this.#now();
    const least = this.#least;
    this.slider.value = String(least);
    this.value.textContent = least.toFixed(2);
    this.overlay.draw(shown);
    fill(this.found, item?.answer ? t("try.found", { n: shown.length, all: all.length }) : "");
    // The list follows a few times a second: the boxes must not wait for it.
    this.#listTimer ||= setTimeout(() => this.#drawList(), 120);
    this.thumbs.element.hidden = camera.running || tray.items.length < 2;
    this.thumbs.draw(tray.items, item);
    const version = item?.version ?? -1;
    if (this.#drawn === item && this.#drawnVersion === version && !camera.running) return;
    this.#drawn = item;
    this.#drawnVersion = version;
    this.#drawStage();
  }

  #drawStage() {
    const { item } = this.#now();
    fill(this.cameraButton, camera.running ? t("try.camera_stop") : t("try.camera"));
    say(this.cameraProblem, camera.reason);
    const { answer, error } = item ?? {};
    const picture = item?.bitmap ?? item?.preview ?? null;
    const width = answer?.image_width ?? picture?.width ?? 0;
    this.overlay.element.hidden = !width;
    this.overlay.show(picture, width, answer?.image_height ?? picture?.height ?? 0);
    say(this.problem, item && error ? `${item.name}: ${told(error)}` : "");
    this.again.hidden = camera.running || !mayBeRepeated(error);
    say(this.note, noteOf(item));
    fill(this.facts, item && factsOf(item));
  }

  /** @param {Item} item */
  #choose(item) {
    chosen.item = item;
    this.#soon();
  }

  /** @param {Detection} detection */
  #isShown({ score, label }) {
    return score >= this.#least && !chosen.hidden.has(label);
  }

  #classesHead() {
    const set = (/** @type {boolean} */ all) => {
      chosen.hidden = new Set(all ? [] : (this.#model?.classes ?? []));
      this.#drawClasses();
      this.#soon();
    };
    return h(
      "div",
      { class: "row between" },
      h("strong", {}, t("common.classes")),
      h(
        "span",
        { class: "buttons" },
        h("button", { class: "small quiet", onclick: () => set(true) }, t("try.all")),
        h("button", { class: "small quiet", onclick: () => set(false) }, t("try.none")),
      ),
    );
  }

  #drawClasses() {
    const model = this.#model;
    if (!model) return;
    const own = h("button", {
      class: "small quiet",
      onclick: () => {
        chosen.threshold = null;
        this.#soon();
      },
    }, t("try.reset"));
    fill(this.default, t("try.default", { value: model.score_threshold.toFixed(2) }), " ", own);
    fill(
      this.classes,
      ...model.classes.map((label, index) => {
        const box = h("input", { type: "checkbox", checked: !chosen.hidden.has(label) });
        box.addEventListener("change", () => {
          if (box.checked) chosen.hidden.delete(label);
          else chosen.hidden.add(label);
          this.#soon();
        });
        return h("label", { class: "chip" }, box, h("i", { class: `blob k${index % COLOURS.length}` }), label);
      }),
    );
  }

  #drawList() {
    this.#listTimer = 0;
    const { item, shown } = this.#now();
    this.thumbs.count();
    this.overlay.describe(t("try.canvas", { name: item?.name ?? "", n: shown.length, summary: counted(shown) }));
    this.list.hidden = shown.length === 0;
    this.objects.show(shown);
    this.saving.hidden = !item || camera.running;
    for (const button of this.saves) button.hidden = !item?.answer;
    this.remove.setAttribute("aria-label", t("try.remove", { name: item?.name ?? "" }));
    this.clear.hidden = tray.items.length < 2;
  }

  #remove() {
    if (chosen.item) tray.remove(chosen.item);
  }

  async #clear() {
    const run = async () => tray.clear();
    await confirm(t("try.clear"), [h("p", {}, t("try.private"))], { action: t("try.clear"), run });
  }

  async #savePicture() {
    const { item, shown } = this.#now();
    if (!item?.answer) return;
    try {
      const blob = await paint(item.file, item.answer, shown);
      save(blob, `${item.name.replace(/\.[^.]*$/, "")}-detections.png`);
    } catch (error) {
      notify(told(error), "bad");
    }
  }

  #saveCoco() {
    const model = this.#model;
    if (!model) return;
    const coco = toCoco(tray.items, model, (one) => this.#isShown(one));
    save(new Blob([JSON.stringify(coco, null, 1)], { type: "application/json" }), "detections.coco.json");
  }

  async #toggleCamera() {
    if (camera.running) camera.stop();
    else await camera.start(this.app);
    this.#drawn = undefined;
    this.#soon();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const other = (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
    if (other || target.closest("input, select, textarea, dialog, .scroll")) return;
    const turn = BRACKETS[event.key] ?? BRACKETS[event.code];
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && chosen.item && tray.items.length > 1) {
      const place = tray.items.indexOf(chosen.item) + step;
      chosen.item = tray.items[(place + tray.items.length) % tray.items.length];
      event.preventDefault();
      this.#soon();
    } else if (turn) {
      this.#threshold(this.#least + turn);
    } else if (event.key === "Delete") {
      this.#remove();
    }
  }
}

function problem() {
  return h("p", { class: "problem", role: "alert", hidden: true });
}

/** @param {Item | null} item */
function noteOf(item) {
  if (!item) return t("try.empty");
  if (item.state === "waiting" || item.state === "working") return item.note || t(`try.${item.state}`);
  return item.answer && item.bitmap === null ? t("try.undrawable") : "";
}

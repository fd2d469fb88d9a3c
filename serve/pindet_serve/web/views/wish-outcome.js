// What becomes of a wish for a release.

import { t } from "../i18n.js";

const UNHEARD_MS = 90_000;
const ENDLESS_MS = 15 * 60_000;

/**
 * What becomes of a wish, as the status feed tells it.
 *
 * @param {Store} store
 * @param {string} id
 * @param {() => void} accepted called when the agent has begun
 * @returns {Promise<string>} what is left to be known once it is done; mostly nothing
 */
export function outcome(store, id, accepted) {
  const began = Date.now();
  return new Promise((resolve, reject) => {
    const look = () => {
      const told = new Map(
        store.events.filter((event) => event.data.id === id).map((event) => [event.type, event.data]),
      );
      const [done, refused, begun] = ["done", "refused", "accepted"].map((what) => told.get(`release.${what}`));
      const waited = Date.now() - began;
      if (begun) accepted();
      if (done) end(() => resolve(String(done.reason ?? "")));
      else if (refused) end(() => reject(new Error(t("stage.refused", { reason: String(refused.reason) }))));
      else if (!begun && waited > UNHEARD_MS) end(() => reject(new Error(t("stage.unheard"))));
      else if (waited > ENDLESS_MS) end(() => reject(new Error(t("stage.endless"))));
    };
    /** @param {() => void} last */
    const end = (last) => {
      clearInterval(timer);
      store.removeEventListener("change", look);
      last();
    };
    const timer = setInterval(look, 1000);
    store.addEventListener("change", look);
    look();
  });
}

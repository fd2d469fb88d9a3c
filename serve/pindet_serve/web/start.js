// Starts the page. A file of it that could not be fetched, as when the network changes, is not asked for again by the
// browser: the page begins anew.

const STORED = "pindet.starts";
const LONGEST_MS = 30_000;
const tries = Number(sessionStorage.getItem(STORED) ?? 0);

try {
  await (location.pathname === "/docs" ? import("./docs.js") : import("./app.js"));
  sessionStorage.removeItem(STORED);
} catch (error) {
  console.warn("the page could not be loaded and begins anew", error);
  sessionStorage.setItem(STORED, String(tries + 1));
  setTimeout(() => location.reload(), Math.min(LONGEST_MS, 500 * 2 ** tries));
}

export {};

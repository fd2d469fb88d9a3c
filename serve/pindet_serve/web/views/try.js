/** @param {HTMLElement} root @param {import("../app.js").App} app @returns {() => void} */
export function mount(root, app) { root.textContent = "try" + app; return () => {}; }

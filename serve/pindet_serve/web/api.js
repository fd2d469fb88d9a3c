// Asks the server; every failure is an ApiError that can be shown to a person.

import { t } from "./i18n.js";

const PATIENCE_MS = 30_000;
const AGAIN_MS = 400;

/** A failure: of the server (its problem's words), or of reaching it (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 when the server was not reached
   * @param {string} title
   * @param {string} detail
   * @param {number} [retryAfter] seconds
   */
  constructor(status, title, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

/** Set by the session: the token to send, and whom to tell that it is not good any more. */
export const credentials = {
  /** @type {string | null} */ token: null,
  /** @type {(token: string | null) => void} */ refused: () => {},
};

/**
 * Ask for JSON. A query value that is an array is repeated; one that is undefined or null is left out.
 *
 * @param {string} path
 * @param {AskOptions} [options]
 * @returns {Promise<any>} what was answered; null without content
 */
export async function ask(path, options = {}) {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
}

/**
 * @param {string} path
 * @param {AskOptions} [options]
 * @returns {Promise<Response>} a success
 */
export async function send(
  path,
  { method = "GET", query = {}, json, body, signal, patience = PATIENCE_MS, quiet } = {},
) {
  const token = credentials.token;
  const headers = new Headers({ Accept: "application/json" });
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  const own = AbortSignal.timeout(patience);
  const asked = {
    method,
    headers,
    body: json === undefined ? body : JSON.stringify(json),
    signal: signal ? AbortSignal.any([signal, own]) : own,
    cache: /** @type {const} */ ("no-store"),
  };
  const response = await reached(path + encoded(query), asked, signal);
  if (response.ok) return response;
  if (response.status === 401 && !quiet) credentials.refused(token);
  throw await failure(response);
}

/**
 * @param {string} address
 * @param {RequestInit} asked
 * @param {AbortSignal | undefined} signal
 */
async function reached(address, asked, signal) {
  for (let again = asked.method === "GET";; again = false) {
    try {
      return await fetch(address, asked);
    } catch (error) {
      if (signal?.aborted) throw error;
      const late = error instanceof DOMException && error.name === "TimeoutError";
      // A change of network breaks what is on its way; reading can be repeated without harm.
      if (again && !late) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      else throw new ApiError(0, t("error.unreached"), late ? t("error.no_answer") : t("error.unreached_detail"));
    }
  }
}

/** @param {Response} response */
async function failure(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  try {
    const problem = await response.json();
    return new ApiError(response.status, String(problem.title), String(problem.detail), retryAfter);
  } catch {
    // A proxy in between answers in its own words, or none.
    return new ApiError(
      response.status,
      response.statusText || `HTTP ${response.status}`,
      t("error.proxy"),
      retryAfter,
    );
  }
}

/** @param {Record<string, unknown>} query */
function encoded(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") parameters.append(name, String(one));
    }
  }
  const text = parameters.toString();
  return text && `?${text}`;
}

// Numbers, times and names as people read them.

import { locale, t } from "./i18n.js";

const NOTHING = "–";

/**
 * @param {number | null | undefined} value
 * @param {number} [digits] after the point at most
 * @param {number} [least] digits after the point
 */
export function number(value, digits = 1, least = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return NOTHING;
  return value.toLocaleString(locale(), { minimumFractionDigits: least, maximumFractionDigits: digits });
}

/** @param {number | null | undefined} value of a metric: always three digits, as such are compared in columns */
export const metric = (value) => number(value, 3, 3);

/** @param {number | null | undefined} value with one digit below 10, none above */
export function milliseconds(value) {
  return value === null || value === undefined ? NOTHING : number(value, value < 10 ? 1 : 0);
}

/**
 * @param {number | null | undefined} share 0 to 1
 * @param {number} [digits]
 */
export function percent(share, digits = 1) {
  if (share === null || share === undefined) return NOTHING;
  return share.toLocaleString(locale(), {
    style: "percent",
    maximumFractionDigits: digits,
    minimumFractionDigits: digits,
  });
}

/** @param {number} ms since 1970 */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString(locale(), {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
}

/** Round distances between times that {@link minute} tells apart, ms. */
export const MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * 60_000);
/** The same for {@link day}. */
export const DAYS = [1, 2, 7, 14, 30, 90, 365].map((days) => days * 86_400_000);

/** @param {number} ms since 1970 */
export function minute(ms) {
  return new Date(ms).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** @param {number} ms since 1970 */
export function day(ms) {
  return new Date(ms).toLocaleDateString(locale(), { month: "short", day: "numeric" });
}

/** @param {number} ms since 1970 */
export function moment(ms) {
  const options = /** @type {const} */ ({ year: "numeric", month: "short", day: "numeric" });
  return `${new Date(ms).toLocaleDateString(locale(), options)} ${clock(ms)}`;
}

/** @param {number} seconds */
export function age(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t("age.seconds", { n: whole });
  if (whole < 3600) return t("age.minutes", { n: Math.floor(whole / 60), s: whole % 60 });
  return t("age.hours", { n: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60) });
}

/** @param {string} digest such as an md5 or a commit */
export function short(digest) {
  return digest.slice(0, 8);
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1024) return `${number(bytes)} B`;
  return bytes < 2 ** 20 ? `${number(bytes / 1024, 0)} KiB` : `${number(bytes / 2 ** 20, 1)} MiB`;
}

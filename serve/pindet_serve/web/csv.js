// History as CSV: one line an object, of the chosen class only if one is; one line without object for an image where
// nothing was found.

import { ask } from "./api.js";

const PAGE = 500;
export const MOST = 100_000;
const HEAD = "id,time,request_id,replica,user,model_version,model_md5,image_name,image_width,image_height,elapsed_ms," +
  "label,score,x1,y1,x2,y2\r\n";

/**
 * Read all pages of history.
 *
 * @param {Record<string, unknown>} query span and filters of `/v1/detections`
 * @param {(images: number) => void} progress
 * @param {AbortSignal} signal
 * @returns {Promise<{ blob: Blob, images: number, cut: boolean }>} `cut`: there are more than {@link MOST}
 */
export async function exportCsv(query, progress, signal) {
  // The mark in front makes spreadsheets read the Chinese names as UTF-8.
  const parts = ["\uFEFF", HEAD];
  let images = 0;
  /** @type {number | null} */
  let before = null;
  do {
    /** @type {{ images: RecordedImage[], next_before_id: number | null }} */
    const page = await ask("/v1/detections", { query: { ...query, limit: PAGE, before_id: before }, signal });
    parts.push(page.images.map((image) => lines(image, found(image, String(query.label ?? "")))).join(""));
    images += page.images.length;
    before = page.next_before_id;
    progress(images);
  } while (before !== null && images < MOST);
  return { blob: new Blob(parts, { type: "text/csv;charset=utf-8" }), images, cut: before !== null };
}

/**
 * What is shown of an image.
 *
 * @param {RecordedImage} image
 * @param {string} label the chosen class; empty for all
 */
export function found({ detections }, label) {
  return label ? detections.filter((one) => one.label === label) : detections;
}

/**
 * @param {RecordedImage} image
 * @param {Detection[]} detections
 */
function lines(image, detections) {
  const own = [
    image.id,
    new Date(image.at_ms).toISOString(),
    image.request_id,
    image.source,
    image.actor,
    image.model_version,
    image.model_md5,
    image.image_name ?? "",
    image.image_width,
    image.image_height,
    image.elapsed_ms,
  ];
  if (!detections.length) return line([...own, "", "", "", "", "", ""]);
  const all = detections.map(({ label, score, box }) => line([...own, label, score, box.x1, box.y1, box.x2, box.y2]));
  return all.join("");
}

/** @param {(string | number)[]} cells */
function line(cells) {
  return `${cells.map(cell).join(",")}\r\n`;
}

/** @param {string | number} value */
function cell(value) {
  if (typeof value === "number") return String(value);
  // Names come from whoever sent an image: a spreadsheet must not take one for a formula.
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

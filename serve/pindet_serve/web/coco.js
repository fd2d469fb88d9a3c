// Detections in the format of COCO: boxes are [x, y, width, height], categories count from 1.

/** @typedef {import("./tray.js").Item} Item */
/** @typedef {import("./types.d.ts").Model} Model */
/** @typedef {import("./types.d.ts").Detection} Detection */

/**
 * @param {Item[]} items those without an answer are left out
 * @param {Model} model
 * @param {(detection: Detection) => boolean} wanted
 */
export function toCoco(items, model, wanted) {
  const answered = items.flatMap(({ name, answer }) => (answer ? [{ name, answer }] : []));
  const images = answered.map(({ name, answer }, index) => (
    { id: index + 1, file_name: name, width: answer.image_width, height: answer.image_height }
  ));
  const found = answered.flatMap(({ answer }, index) =>
    answer.detections.filter(wanted).map((one) => ({ one, image_id: index + 1 }))
  );
  const annotations = found.map(({ one: { box, label_id, score }, image_id }, index) => {
    const [width, height] = [box.x2 - box.x1, box.y2 - box.y1].map(hundredth);
    return {
      id: index + 1,
      image_id,
      category_id: label_id + 1,
      bbox: [box.x1, box.y1, width, height],
      area: hundredth(width * height),
      iscrowd: 0,
      score,
    };
  });
  return {
    info: { description: `Found by ${model.name} ${model.version}, bundle ${model.md5}` },
    images,
    categories: model.classes.map((name, index) => ({ id: index + 1, name })),
    annotations,
  };
}

/** @param {number} value */
function hundredth(value) {
  return Math.round(value * 100) / 100;
}

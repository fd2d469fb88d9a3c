// Detections in the format of COCO: boxes are [x, y, width, height], categories count from 1.

/**
 * What was found, under the names that it was found by: while images were tried, another model may have come.
 *
 * @param {Item[]} items those without an answer are left out
 * @param {Model} served gives all of its classes, if it answered any of the images
 * @param {(detection: Detection) => boolean} wanted
 */
export function toCoco(items, served, wanted) {
  const answered = items.flatMap(({ name, answer, model }) => (answer ? [{ name, answer, model }] : []));
  const images = answered.map(({ name, answer }, index) => (
    { id: index + 1, file_name: name, width: answer.image_width, height: answer.image_height }
  ));
  const found = answered.flatMap(({ answer }, index) =>
    answer.detections.filter(wanted).map((one) => ({ one, image_id: index + 1 }))
  );
  const answeredBy = new Map(answered.flatMap(({ model }) => (model ? [[model.md5, model]] : [])));
  const classes = answeredBy.has(served.md5) ? served.classes : [];
  const numbers = numbered(classes, answered.flatMap(({ answer }) => answer.detections));
  const annotations = found.map(({ one: { box, label, score }, image_id }, index) => {
    const [width, height] = [box.x2 - box.x1, box.y2 - box.y1].map(hundredth);
    return {
      id: index + 1,
      image_id,
      category_id: numbers.get(label),
      bbox: [box.x1, box.y1, width, height],
      area: hundredth(width * height),
      iscrowd: 0,
      score,
    };
  });
  const models = [...answeredBy.values()].map(({ name, version, md5 }) => `${name} ${version}, bundle ${md5}`);
  return {
    info: { description: `Found by ${models.join("; ")}` },
    images,
    categories: [...numbers].map(([name, id]) => ({ id, name })),
    annotations,
  };
}

/**
 * The categories: a class's place in its model; where two models have different classes there, the later one follows
 * after all others.
 *
 * @param {string[]} classes
 * @param {Detection[]} detections
 */
function numbered(classes, detections) {
  const numbers = new Map(classes.map((name, index) => [name, index + 1]));
  for (const { label, label_id } of detections) {
    if (numbers.has(label)) continue;
    const taken = [...numbers.values()];
    numbers.set(label, taken.includes(label_id + 1) ? Math.max(...taken) + 1 : label_id + 1);
  }
  return numbers;
}

/** @param {number} value */
function hundredth(value) {
  return Math.round(value * 100) / 100;
}

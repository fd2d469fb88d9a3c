// Puts photos of 2800 x 2100 pixels into a tray, shows two of them, and returns what is decoded at once and kept.
async (count) => {
  const { Tray } = await import("/web/tray.js");
  const canvas = new OffscreenCanvas(2800, 2100);
  canvas.getContext("2d").fillRect(0, 0, 9, 9);
  const photo = await canvas.convertToBlob({ type: "image/jpeg" });
  const real = { createImageBitmap: createImageBitmap.bind(globalThis), fetch };
  let now = 0, mostAtOnce = 0;
  globalThis.fetch = () => new Promise(() => {});
  globalThis.createImageBitmap = async (source, ...more) => {
    if (!(source instanceof Blob)) return real.createImageBitmap(source, ...more);
    mostAtOnce = Math.max(mostAtOnce, ++now);
    try {
      return await real.createImageBitmap(source, ...more);
    } finally {
      now--;
    }
  };
  try {
    const tray = new Tray();
    const items = Array.from({ length: count }, (_, n) => tray.add(new File([photo], `${n}.jpg`, { type: "image/jpeg" })));
    const until = async (done) => {
      for (const end = performance.now() + 60_000; !done() && performance.now() < end;) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    tray.show(items[0]);
    await until(() => items[0].bitmap);
    tray.show(items[1]);
    await until(() => items[1].bitmap && items.every((item) => item.preview));
    const size = ({ width, height }) => [width, height];
    const kept = {
      mostAtOnce,
      previews: items.map((item) => item.preview && size(item.preview)),
      pictures: items.filter((item) => item.bitmap).map((item) => size(item.bitmap)),
    };
    tray.clear();
    return { ...kept, left: items.filter((item) => item.bitmap || item.preview).length };
  } finally {
    Object.assign(globalThis, real);
  }
}

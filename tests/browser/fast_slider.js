// Moves the slider ten times in each of twenty frames; returns, for each, how often it was drawn and with how many boxes.
async () => {
  const slider = document.getElementById("threshold");
  const context = document.querySelector("canvas.boxes").getContext("2d");
  const frame = () => new Promise(requestAnimationFrame);
  const clear = context.clearRect.bind(context);
  const stroke = context.strokeRect.bind(context);
  let cleared = 0;
  let boxes = 0;
  context.clearRect = (...all) => {
    cleared++;
    boxes = 0;
    clear(...all);
  };
  context.strokeRect = (...all) => {
    boxes++;
    stroke(...all);
  };
  const drawn = [];
  for (let n = 0; n < 20; n++) {
    await frame();
    const before = cleared;
    for (let move = 0; move < 10; move++) {
      slider.value = String(((n * 10 + move) % 40) / 100);
      slider.dispatchEvent(new Event("input"));
    }
    await frame();
    await frame();
    drawn.push([cleared - before, boxes]);
  }
  return drawn;
}

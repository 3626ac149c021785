/* |left − right| of two pictures; its gain is a filter of the style sheet. */

const MOST_PIXELS = 16_000_000; // the largest canvas that every browser has

/** Draw into canvas.  left, right: <img> of one size, decoded. */
export function drawDifference(canvas, left, right) {
  const { naturalWidth: width, naturalHeight: height } = left;
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d", { alpha: false });
  flat(context, left);
  const other = document.createElement("canvas");
  [other.width, other.height] = [canvas.width, canvas.height];
  flat(other.getContext("2d", { alpha: false }), right); // on white first: differences know no transparency
  context.globalCompositeOperation = "difference";
  context.drawImage(other, 0, 0);
  context.globalCompositeOperation = "source-over";
}

function flat(context, image) {
  const { width, height } = context.canvas;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
}

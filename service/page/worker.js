/* Measures pictures beside the page: gets two files, answers first with PSNR, then with MS-SSIM. */

import { msSsim, psnr } from "./metrics.js";

const STRIP_ROWS = 256; // canvases have a largest area, pictures have not
let known = { file: null, picture: null }; // the original, which is asked for again and again

addEventListener("message", async ({ data: { id, original, made } }) => {
  try {
    if (known.file !== original.id) known = { file: original.id, picture: await planesOf(original.blob) };
    const a = known.picture;
    const b = await planesOf(made);
    if (a.width !== b.width || a.height !== b.height) {
      postMessage({ id, differs: true });
      return;
    }
    postMessage({ id, psnr: psnr(a.planes, b.planes) });
    postMessage({ id, msSsim: msSsim(a.planes, b.planes, a.width, a.height) });
  } catch (error) {
    postMessage({ id, failed: String(error) });
  }
});

/* Samples as they are in the file: upright, without colour management, on white where they are transparent. */
async function planesOf(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const planes = [0, 1, 2].map(() => new Uint8Array(width * height));
  const canvas = new OffscreenCanvas(width, Math.min(STRIP_ROWS, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  for (let top = 0; top < height; top += STRIP_ROWS) {
    const rows = Math.min(STRIP_ROWS, height - top);
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let from = 0, to = top * width; from < data.length; from += 4, to++) {
      planes[0][to] = data[from];
      planes[1][to] = data[from + 1];
      planes[2][to] = data[from + 2];
    }
  }
  bitmap.close();
  return { width, height, planes };
}

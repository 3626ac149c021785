/* PSNR and MS-SSIM of 8-bit RGB, the same numbers as gancodec.evaluation.metrics. */

export const MS_SSIM_MIN_SIDE = 161; // five scales halve it four times, and the window of 11 must still fit
const PEAK = 255;
const TAPS = 11;
const SIGMA = 1.5;
const C1 = (0.01 * PEAK) ** 2;
const C2 = (0.03 * PEAK) ** 2;
const SCALE_WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]; // Wang et al. 2003
const WINDOW = gaussian();

function gaussian() {
  const taps = Float64Array.from({ length: TAPS }, (_, place) => Math.exp(-((place - (TAPS - 1) / 2) ** 2) / (2 * SIGMA ** 2)));
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
}

/** dB; Infinity for equal pictures.  a, b: planes of equal length, all of one picture together. */
export function psnr(a, b) {
  let sum = 0;
  let count = 0;
  for (let channel = 0; channel < a.length; channel++) {
    const x = a[channel];
    const y = b[channel];
    for (let place = 0; place < x.length; place++) sum += (x[place] - y[place]) ** 2;
    count += x.length;
  }
  return sum > 0 ? 10 * Math.log10(PEAK ** 2 / (sum / count)) : Infinity;
}

/** 0..1, the mean over the planes; null where it is not defined. */
export function msSsim(a, b, width, height) {
  if (Math.min(width, height) < MS_SSIM_MIN_SIDE) return null;
  let sum = 0;
  for (let channel = 0; channel < a.length; channel++) sum += planeMsSsim(a[channel], b[channel], width, height);
  return sum / a.length;
}

function planeMsSsim(a, b, width, height) {
  let product = 1;
  for (let scale = 0; scale < SCALE_WEIGHTS.length; scale++) {
    const { ssim, structure } = similarity(a, b, width, height);
    const last = scale === SCALE_WEIGHTS.length - 1;
    product *= Math.max(last ? ssim : structure, 0) ** SCALE_WEIGHTS[scale];
    if (last) break;
    [a, b] = [halved(a, width, height), halved(b, width, height)];
    [width, height] = [(width + (width % 2)) >> 1, (height + (height % 2)) >> 1];
  }
  return product;
}

/* Means over all places where the window fits.  Row by row: eleven filtered rows are all that is held. */
function similarity(a, b, width, height) {
  const inner = width - TAPS + 1;
  const rows = Array.from({ length: TAPS }, () => moments(inner));
  const source = moments(width);
  const out = moments(inner);
  let ssimSum = 0;
  let structureSum = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0, place = y * width; x < width; x++, place++) {
      const p = a[place];
      const q = b[place];
      source[0][x] = p;
      source[1][x] = q;
      source[2][x] = p * p + q * q; // only the sum of both variances is asked for
      source[3][x] = p * q;
    }
    for (let kind = 0; kind < 4; kind++) alongRow(source[kind], rows[y % TAPS][kind]);
    if (y < TAPS - 1) continue;
    for (let kind = 0; kind < 4; kind++) acrossRows(rows, kind, y + 1, out[kind]);
    const [meanA, meanB, squares, products] = out;
    for (let x = 0; x < inner; x++) {
      const both = meanA[x] * meanB[x];
      const own = meanA[x] * meanA[x] + meanB[x] * meanB[x];
      const structure = (2 * (products[x] - both) + C2) / (squares[x] - own + C2);
      structureSum += structure;
      ssimSum += ((2 * both + C1) / (own + C1)) * structure;
    }
  }
  const count = inner * (height - TAPS + 1);
  return { ssim: ssimSum / count, structure: structureSum / count };
}

const moments = (length) => Array.from({ length: 4 }, () => new Float64Array(length));

function alongRow(from, to) {
  const [w0, w1, w2, w3, w4, w5] = WINDOW; // symmetric
  for (let x = 0; x < to.length; x++) {
    to[x] =
      w0 * (from[x] + from[x + 10]) + w1 * (from[x + 1] + from[x + 9]) + w2 * (from[x + 2] + from[x + 8]) +
      w3 * (from[x + 3] + from[x + 7]) + w4 * (from[x + 4] + from[x + 6]) + w5 * from[x + 5];
  }
}

function acrossRows(rows, kind, oldest, to) {
  to.fill(0);
  for (let tap = 0; tap < TAPS; tap++) {
    const row = rows[(oldest + tap) % TAPS][kind];
    const weight = WINDOW[tap];
    for (let x = 0; x < to.length; x++) to[x] += weight * row[x];
  }
}

/* Mean of 2 × 2.  An odd side begins with half a cell of zeros, as pytorch_msssim's pooling has it: figures agree. */
function halved(plane, width, height) {
  const left = width % 2;
  const top = height % 2;
  const columns = (width + left) >> 1;
  const lines = (height + top) >> 1;
  const made = new Float32Array(columns * lines);
  for (let y = 0; y < lines; y++) {
    const lower = (2 * y + 1 - top) * width;
    const upper = lower - width;
    for (let x = 0; x < columns; x++) {
      const right = 2 * x + 1 - left;
      let sum = plane[lower + right];
      if (right > 0) sum += plane[lower + right - 1];
      if (upper >= 0) sum += plane[upper + right] + (right > 0 ? plane[upper + right - 1] : 0);
      made[y * columns + x] = sum / 4;
    }
  }
  return made;
}

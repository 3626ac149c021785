/* Numbers and names as people read them. */

export const NONE = "–";

/** Bytes as the reports have them: kB of 1000 bytes. */
export function sizeText(bytes) {
  if (bytes === null || bytes === undefined) return NONE;
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

export const bppText = (bytes, width, height) => (bytes ? ((8 * bytes) / (width * height)).toFixed(3) : NONE);

export function psnrText(value) {
  if (typeof value !== "number") return NONE;
  return Number.isFinite(value) ? `${value.toFixed(2)} dB` : "∞";
}

export const msSsimText = (value) => (typeof value === "number" ? value.toFixed(4) : NONE);

export const timeText = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** What a file is called without its folder and last ending; pasted ones are all called "image.png". */
export function stemOf(name) {
  const stem = name.replace(/^.*[\\/]/, "").replace(/\.[^.]{1,5}$/, "");
  return stem || "picture";
}

/** An element with text and children: data never becomes markup. */
export function element(tag, { className = "", text = "", ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

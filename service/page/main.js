/* The page: files come in, controls are heard, the bench works, render.js draws. */

import { Bench, NAMES } from "./bench.js";
import { Notice } from "./notice.js";
import { render } from "./render.js";
import { bodyOf, call, ServiceProblem } from "./service.js";
import { element } from "./text.js";
import { Viewer } from "./viewer.js";

const DEBOUNCE_MS = 250;
const byId = (id) => document.getElementById(id);
const named = (name) => document.querySelectorAll(`input[name="${name}"]`);

const viewer = new Viewer();
const notice = new Notice();
let codecs = [];
let loading = 0;

const bench = new Bench({
  changed: () => {
    const empty = byId("bench").hidden;
    fit();
    render(bench, viewer);
    if (empty && bench.source) byId("picture-name").focus({ preventScroll: true }); // what was focused is gone
  },
  failed: (problem, again) => {
    const all = () => {
      if (!codecs.length) loadCodecs();
      again?.();
    };
    notice.show(problem, again ? all : null);
  },
  began: (size) => (size ? viewer.begin(size.width, size.height) : viewer.clear()),
});

/* Files */

function take([file], name = file?.name) {
  if (!file) return;
  notice.hide();
  bench.open(file, name || "picture");
}

for (const id of ["choose", "open-another"]) byId(id).addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  take([...byId("file").files]);
  byId("file").value = ""; // the same file may be chosen again
});

addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  take(files, files[0].name === "image.png" ? "pasted.png" : files[0].name);
});

const brings = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!brings(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!brings(event)) return;
  event.preventDefault();
  take([...event.dataTransfer.files]);
});

/* Settings */

function debounced(run) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, DEBOUNCE_MS);
  };
}
const encodeSoon = debounced(() => bench.encode());
const decodeSoon = debounced(() => bench.decode());

/* A slider and a field that say the same; told(value) for valid ones that are new. */
function pair(slider, field, told) {
  let last = Number(field.value);
  const hear = (from, to) => () => {
    if (from.value === "" || !from.checkValidity()) return;
    const value = Number(from.value);
    to.value = from.value;
    if (value !== last) told((last = value));
  };
  slider.addEventListener("input", hear(slider, field));
  field.addEventListener("input", hear(field, slider));
  field.addEventListener("change", () => {
    field.value = last; // what is not valid goes
  });
}

function setRate() {
  const bySize = document.querySelector('input[name="rate"][value="size"]').checked;
  byId("by-quality").hidden = bySize;
  byId("by-size").hidden = !bySize;
  const codec = chosenCodec();
  bench.settings.codec = codec?.name ?? "";
  fit();
  const target = byId("target");
  const vague = bySize && (target.value === "" || !target.checkValidity());
  if (vague && (codec?.has_quality ?? true)) return;
  if (codec && !codec.has_quality) bench.settings.rate = {};
  else if (bySize) bench.settings.rate = { target_size: Math.round(1000 * Number(target.value)) };
  else bench.settings.rate = { quality: Number(byId("quality").value) };
  encodeSoon();
}

pair(byId("quality-slider"), byId("quality"), setRate);
pair(byId("realism-slider"), byId("realism"), (value) => {
  bench.settings.realism = value;
  decodeSoon();
});
byId("target").addEventListener("input", setRate);
byId("codec").addEventListener("change", setRate);
for (const radio of named("rate")) {
  radio.addEventListener("change", () => {
    // The size that is there is where to go on from.
    if (radio.value === "size" && bench.encoded) byId("target").value = (bench.encoded.blob.size / 1000).toFixed(1);
    setRate();
  });
}
byId("panel").addEventListener("submit", (event) => event.preventDefault());

/* Codecs */

const chosenCodec = () => codecs.find((codec) => codec.name === byId("codec").value);

/* What the codec at hand has: that of the file where one was opened. */
function fit() {
  const opened = bench.source?.kind === "gnc";
  const codec = opened ? codecs.find((each) => each.name === bench.info?.model) : chosenCodec();
  const has = { quality: codec?.has_quality ?? true, realism: codec?.has_realism ?? true };
  Object.assign(bench, { hasQuality: has.quality, hasRealism: has.realism });
  if (!has.realism) for (const side of ["left", "right"]) if (bench.sides[side] === "faithful") bench.sides[side] = "gnc";
  byId("rate").disabled = !has.quality;
  byId("rate-note").hidden = has.quality;
  byId("realism-field").disabled = !has.realism;
  byId("realism-note").hidden = has.realism;
}

function wait(seconds) {
  clearTimeout(loading);
  loading = setTimeout(loadCodecs, 1000 * seconds);
}

async function loadCodecs() {
  clearTimeout(loading);
  if (codecs.length) return; // what was chosen among them stays
  let found;
  try {
    ({ codecs: found } = await bodyOf(await call("v1/codecs"), "json"));
  } catch (problem) {
    if (!(problem instanceof ServiceProblem)) throw problem;
    if (problem.status === 503 && problem.retryAfter !== null) wait(problem.retryAfter); // weights are being loaded
    else notice.show(problem, loadCodecs);
    return;
  }
  if (codecs.length) return; // by an answer that was quicker
  codecs = found;
  byId("codec").replaceChildren(...codecs.map(({ name }) => element("option", { value: name, text: name })));
  bench.settings.codec = codecs[0].name;
  if (!codecs[0].has_quality) bench.settings.rate = {};
  fit();
  render(bench, viewer);
}

/* What is seen of it */

for (const side of ["left", "right"]) {
  for (const [key, label] of Object.entries(NAMES)) {
    const radio = element("input", { type: "radio", name: side, value: key, "data-side": side });
    radio.addEventListener("change", () => bench.choose(side, key));
    byId(`choose-${side}`).append(element("label", { className: "option" }, radio, element("span", { text: label })));
  }
}
for (const radio of named("zoom")) radio.addEventListener("change", () => (viewer.zoom = Number(radio.value)));
byId("pixelated").addEventListener("change", () => (viewer.pixelated = byId("pixelated").checked));
for (const radio of named("look")) {
  radio.addEventListener("change", () => {
    viewer.difference = radio.value === "difference";
    byId("gain").disabled = radio.value !== "difference";
  });
}
byId("gain").addEventListener("input", () => {
  viewer.gain = Number(byId("gain").value);
  byId("gain-value").textContent = `${byId("gain").value}×`;
});

loadCodecs();

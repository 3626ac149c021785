/* The bench's state as text and attributes of the page. */

import { NAMES } from "./bench.js";
import { bppText, element, msSsimText, NONE, psnrText, sizeText, stemOf, timeText } from "./text.js";

const byId = (id) => document.getElementById(id);
const hrefs = new Map(); // link -> blob it is for

export function render(bench, viewer) {
  const { source } = bench;
  byId("welcome").hidden = Boolean(source);
  byId("bench").hidden = !source;
  byId("open-another").hidden = !source;
  document.title = source ? `${source.name} – gancodec` : "gancodec";
  if (!source) {
    downloads(bench); // lets go of what they held
    return;
  }
  headline(bench);
  for (const side of ["left", "right"]) caption(bench, viewer, side);
  viewer.single = bench.sides.left === bench.sides.right || !bench.versions.gnc.url;
  choices(bench);
  rows(bench);
  result(bench);
  facts(bench);
  downloads(bench);
  status(bench);
}

function headline({ source, size, versions }) {
  byId("picture-name").textContent = source.name;
  const parts = [size ? `${size.width} × ${size.height} pixels` : "", sizeText(source.file.size)];
  if (source.kind === "photo" && !source.seen && versions.gnc.url) parts.push("this browser cannot show the original");
  byId("picture-facts").textContent = parts.filter(Boolean).join(" · ");
}

function titleOf(version) {
  const title = NAMES[version.key];
  return version.key === "faithful" ? "gancodec, realism 0" : title;
}

function caption({ sides, versions, size, phase }, viewer, side) {
  const key = sides[side];
  const version = versions[key];
  const box = byId(`caption-${side}`);
  const waits = version.working || version.outdated || (key === "gnc" && phase && !version.url);
  const comes = version.working || phase;
  // Not dimmed while the slider is moved: the picture would flicker.
  byId("layer").querySelector(`.${side}`).classList.toggle("waiting", Boolean(waits && key !== "gnc"));
  if (version.url) viewer.show(side, version.url, `${side}: ${titleOf(version)}`);
  const told = element("span", { className: "facts" });
  if (waits) told.append(element("span", { text: comes ? "on its way…" : "of an earlier file" }));
  else if (size && version.bytes) {
    const parts = [sizeText(version.bytes), `${bppText(version.bytes, size.width, size.height)} bpp`];
    if (typeof version.psnr === "number") parts.push(psnrText(version.psnr));
    if (typeof version.quality === "number") parts.push(`quality ${Number(version.quality.toFixed(1))}`);
    told.append(...parts.map((text) => element("span", { text })));
  }
  const heading = element("p", { className: "name" }, element("b", { text: titleOf(version) }));
  if (key === "gnc" && version.realism > 0) heading.append(" ", element("span", { className: "invented", text: "detail is generated" }));
  box.replaceChildren(heading, told);
}

function choices({ source, sides, hasRealism, encoded }) {
  for (const radio of document.querySelectorAll("#choose-left input, #choose-right input")) {
    const key = radio.value;
    const photo = source.kind === "photo";
    const possible = { original: photo && source.seen, gnc: true, faithful: hasRealism }[key] ?? photo;
    radio.disabled = !possible || (!encoded && key !== "original" && key !== "gnc");
    radio.checked = sides[radio.dataset.side] === key;
    radio.closest("label").hidden = source.kind === "gnc" && !possible;
  }
}

function rows(bench) {
  const { source, versions, sides, size } = bench;
  const shown = Object.values(versions).filter((version) => {
    if (version.key === "original") return source.kind === "photo";
    if (version.key === "faithful") return bench.hasRealism && bench.decoded?.realism > 0;
    return version.key === "gnc" || source.kind === "photo";
  });
  const made = shown.map((version) => {
    const at = [sides.left, sides.right].map((key) => key === version.key);
    const tag = at[0] && at[1] ? "both" : at[0] ? "left" : at[1] ? "right" : "";
    const head = element("th", { scope: "row" }, titleOf(version), " ", element("span", { className: "tag", text: tag }));
    const bpp = size ? bppText(version.bytes, size.width, size.height) : NONE;
    const wait = (value, text) => (version.measuring && value === undefined ? "…" : text);
    const cells = version.working || (version.outdated && version.key !== "gnc")
      ? ["…", "…", "…", "…"]
      : [sizeText(version.bytes), bpp, wait(version.psnr, psnrText(version.psnr)), wait(version.msSsim, msSsimText(version.msSsim))];
    return element("tr", {}, head, ...cells.map((text) => element("td", { text })));
  });
  byId("rows").replaceChildren(...made);
  const notes = Object.values(versions).map((version) => version.note).filter(Boolean);
  if (bench.encoded?.notice) notes.unshift(`Before it was compressed, the picture was ${bench.encoded.notice}.`);
  if (source.kind === "photo" && !source.seen) notes.unshift("This browser cannot show the original: there is nothing to measure against.");
  byId("notes").replaceChildren(...notes.map((text) => element("li", { text })));
  byId("numbers").hidden = source.kind === "gnc";
}

function result({ encoded, source, size, phase }) {
  byId("result-size").textContent = encoded ? sizeText(encoded.blob.size) : phase ? "…" : NONE;
  const parts = [];
  if (encoded && size) parts.push(`${bppText(encoded.blob.size, size.width, size.height)} bpp`);
  if (encoded && source.kind === "photo") {
    const percent = (100 * encoded.blob.size) / source.file.size;
    parts.push(`${percent < 10 ? percent.toFixed(1) : Math.round(percent)} % of the source`);
  }
  byId("result-rate").textContent = parts.join(" · ") || "Size of the .gnc file";
  byId("panel").classList.toggle("opened", source.kind === "gnc");
}

function facts({ source, info, encoded, decoded }) {
  const told = [];
  if (source.kind === "gnc" && info) {
    told.push(["Picture", `${info.width} × ${info.height}, ${info.mode}`]);
    if (info.quality !== null) told.push(["Quality", String(Number(info.quality.toFixed(1)))]);
    told.push(["Model", info.model ? `${info.model} (${info.model_id})` : `${info.model_id}, not on this server`]);
    told.push(["Format", info.format], ["Payload", sizeText(info.payload_bytes)]);
    const chunks = info.chunks.map((chunk) => `${chunk.type} ${sizeText(chunk.bytes)}`);
    told.push(["Metadata", chunks.join(", ") || "none"]);
    if (info.damaged.length) told.push(["Damaged", info.damaged.join(", ")]);
  }
  const time = (made) => `${timeText(made.queueMs)} queue, ${timeText(made.computeMs)} compute`;
  if (source.kind === "photo") told.push(["Encoding", encoded ? time(encoded) : NONE]);
  told.push(["Decoding", decoded ? time(decoded) : NONE]);
  byId("facts").replaceChildren(...told.flatMap(([name, text]) => [element("dt", { text: name }), element("dd", { text })]));
}

function downloads({ source, encoded, versions, decoded }) {
  const stem = stemOf(source?.name ?? "");
  const drawn = decoded?.realism > 0 ? `-realism-${decoded.realism}` : "-decoded";
  link(byId("download-gnc"), encoded?.blob ?? null, `${stem}.gnc`, ".gnc");
  link(byId("download-png"), versions.gnc.outdated ? null : versions.gnc.blob, `${stem}${drawn}.png`, "PNG");
}

function link(anchor, blob, name, label) {
  anchor.textContent = blob ? `${label} ${sizeText(blob.size)}` : label;
  anchor.download = name;
  anchor.setAttribute("aria-label", blob ? `Download ${name}, ${sizeText(blob.size)}` : `Download ${label}, not there yet`);
  if (hrefs.get(anchor) === blob) return;
  hrefs.set(anchor, blob);
  if (anchor.href) URL.revokeObjectURL(anchor.href);
  if (blob) anchor.href = URL.createObjectURL(blob);
  else anchor.removeAttribute("href");
  anchor.setAttribute("aria-disabled", String(!blob));
}

function status({ coming, phase, versions, encoded, decoded, source }) {
  const making = Object.values(versions).filter((version) => version.working).map((version) => titleOf(version));
  const own = phase ? `${phase} ${source.name}…` : making.length ? `Making ${making.join(" and ")}…` : "";
  const busy = coming ? `${coming.phase} ${coming.name}…` : own;
  byId("progress").hidden = !busy;
  byId("stage").setAttribute("aria-busy", String(Boolean(busy)));
  const done = encoded && decoded ? `Done: ${sizeText(encoded.blob.size)}.` : "";
  const text = busy || done;
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

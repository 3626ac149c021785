/* The picture on the bench and its versions: what is asked of the service, in what order, and what came back. */

import { Measurer } from "./measure.js";
import { bodyOf, call, Latest, ServiceProblem } from "./service.js";

export const OTHERS = { webp: "WebP", avif: "AVIF", jpeg: "JPEG" };
export const NAMES = { original: "Original", gnc: "gancodec", faithful: "realism 0", ...OTHERS };
const MAGIC = [0x89, 0x47, 0x4e, 0x43];

const blank = (key) => ({
  key, blob: null, url: null, bytes: null, psnr: undefined, msSsim: undefined, working: false, quality: null, note: "",
});

export class Bench {
  /** .gnc file and what the headers said of it; null until there is one. */
  encoded = null;
  decoded = null;
  info = null;
  source = null;
  size = null;
  phase = "";
  settings = { codec: "", rate: { quality: 60 }, realism: 0 };
  sides = { left: "original", right: "gnc" };
  versions = {};
  /** {name, phase} of a file that is asked about while the one before is still there. */
  coming = null;
  #coding = new Latest();
  #opening = new Latest();
  #compressing = false;
  #asked = {};
  #measurer = new Measurer();
  #count = 0;
  #newest = 0;

  /** changed(): something is to be drawn again.  failed(problem, again).  began(size): null for an empty bench. */
  constructor({ changed, failed, began }) {
    Object.assign(this, { changed, failed, began });
    this.#clear();
  }

  /** Take a photo or a .gnc file.  What is there stays until the service has taken the new one. */
  async open(file, name) {
    const id = ++this.#count;
    let head;
    try {
      head = new Uint8Array(await file.slice(0, MAGIC.length).arrayBuffer());
    } catch {
      const detail = "It may be a folder, or have been moved or changed.";
      this.failed(new ServiceProblem({ title: `${name} cannot be read`, detail, status: -1 }));
      return;
    }
    const kind = MAGIC.every((byte, place) => head[place] === byte) || /\.gnc$/i.test(name) ? "gnc" : "photo";
    let url = kind === "gnc" ? null : URL.createObjectURL(file);
    const seen = url && (await sizeOf(url));
    if (url && (!seen || id < this.#newest)) {
      URL.revokeObjectURL(url);
      url = null;
    }
    if (id < this.#newest) return; // a later one was quicker
    this.#newest = id;
    const source = { kind, file, name, seen: Boolean(seen), id };
    if (this.source) await this.#admit(source, seen, url);
    else {
      this.#place(source, seen, url);
      await (kind === "gnc" ? this.#openGnc() : this.encode());
    }
  }

  /* Ask for the new file first: with a good answer it takes the place of the one before. */
  async #admit(source, seen, url) {
    const before = this.#rate();
    let answer;
    try {
      answer = await this.#opening.run((signal) => {
        this.#comes({ name: source.name, phase: source.kind === "gnc" ? "Opening" : "Compressing" });
        return source.kind === "gnc" ? infoOf(source.file, signal) : this.#compressed(source.file, signal);
      });
    } catch (problem) {
      this.#comes(null);
      problem.title = `${source.name}: ${problem.title}`; // not of what is seen
      this.#tell(problem, () => this.open(source.file, source.name));
    }
    if (!answer) {
      if (url) URL.revokeObjectURL(url);
      return;
    }
    this.#place(source, seen, url);
    if (source.kind === "gnc") await this.#openGnc(answer);
    else await this.encode(this.#rate() === before ? answer : null); // else the controls were moved meanwhile
  }

  #place(source, seen, url) {
    this.#clear();
    this.source = source;
    this.sides = { left: seen ? "original" : "faithful", right: "gnc" };
    if (source.kind === "photo") Object.assign(this.versions.original, { blob: seen ? source.file : null, url, bytes: source.file.size });
    if (seen) this.#begin(seen);
  }

  #rate = () => JSON.stringify([this.settings.codec, this.settings.rate]);

  #comes(coming) {
    this.coming = coming;
    this.changed();
  }

  /** Compress with the present settings, then decode.  made: what came of these settings already. */
  encode = async (made = null) => {
    if (this.source?.kind !== "photo") return;
    await this.#try(() => this.encode(), async (signal) => {
      this.#compressing = true;
      this.#say("Compressing");
      this.encoded = made ?? (await this.#compressed(this.source.file, signal));
      this.#compressing = false;
      this.versions.gnc.outdated = Boolean(this.versions.gnc.url); // until it is decoded
      for (const key of ["faithful", ...Object.keys(OTHERS)]) this.#outdate(key);
      await this.#decode(signal);
    });
  };

  async #compressed(file, signal) {
    const { rate, codec } = this.settings;
    const response = await call("v1/compress", { query: codec ? { ...rate, codec } : rate, body: file, signal });
    return { blob: await bodyOf(response), ...factsOf(response) };
  }

  /** Decode the same file again; one that is on its way takes the new realism anyhow. */
  decode = async () => {
    if (!this.encoded || this.#compressing) return;
    await this.#try(this.decode, (signal) => this.#decode(signal));
  };

  choose(side, key) {
    this.sides[side] = key;
    this.#complete();
    this.changed();
  }

  /** What the codec of what is on the bench has. */
  hasQuality = true;
  hasRealism = true;

  async #openGnc(info = null) {
    await this.#try(() => this.#openGnc(), async (signal) => {
      this.#say("Opening");
      const { file } = this.source;
      this.info = info ?? (await infoOf(file, signal));
      this.encoded = { blob: file, codec: this.info.model, quality: this.info.quality };
      this.versions.gnc.bytes = file.size;
      if (!this.size) this.#begin({ width: this.info.width, height: this.info.height });
      await this.#decode(signal);
    });
  }

  async #decode(signal) {
    const { encoded } = this;
    this.#say("Decoding");
    const realism = this.hasRealism ? this.settings.realism : 0;
    const response = await call("v1/decompress", {
      query: { realism }, body: encoded.blob, accept: "image/png", signal,
    });
    const blob = await bodyOf(response);
    await this.#take("gnc", blob, encoded.blob.size, signal);
    Object.assign(this.versions.gnc, { quality: this.hasQuality ? encoded.quality : null, realism });
    this.decoded = { ...factsOf(response), realism };
    if (realism === 0) await this.#take("faithful", blob, encoded.blob.size, signal);
    this.#say("");
    this.#complete();
  }

  /* Fetch what is shown and not there. */
  #complete() {
    if (!this.encoded || this.#compressing) return; // else it comes after the decoding
    for (const key of new Set(Object.values(this.sides))) {
      const version = this.versions[key];
      if ((version.blob && !version.outdated) || version.working) continue;
      if (key === "faithful" || key in OTHERS) this.#ask(key);
    }
  }

  async #ask(key) {
    const version = this.versions[key];
    this.#asked[key] ??= new Latest();
    version.working = true;
    this.changed();
    try {
      await this.#asked[key].run(async (signal) => {
        const limit = this.encoded.blob.size;
        const response =
          key === "faithful"
            ? await call("v1/decompress", { query: { realism: 0 }, body: this.encoded.blob, accept: "image/png", signal })
            : await call(`v1/others/${key}`, { query: { target_size: limit }, body: this.source.file, signal });
        const blob = await bodyOf(response);
        const bytes = key === "faithful" ? limit : blob.size;
        await this.#take(key, blob, bytes, signal);
        version.quality = factsOf(response).quality;
        if (bytes > limit) version.note = `${NAMES[key]}’s smallest file is larger than the .gnc.`;
        version.working = false;
      });
    } catch (problem) {
      this.#forget(key);
      for (const [side, other] of [["left", this.source.seen ? "original" : "gnc"], ["right", "gnc"]]) {
        if (this.sides[side] === key) this.sides[side] = other;
      }
      this.#fail(problem, () => this.#ask(key));
    }
    this.changed();
  }

  /* Make a version of a file that the browser can show, and measure it. */
  async #take(key, blob, bytes, signal) {
    const url = URL.createObjectURL(blob);
    const seen = await sizeOf(url);
    if (signal.aborted || !seen) URL.revokeObjectURL(url);
    signal.throwIfAborted();
    if (!seen) {
      throw new ServiceProblem({ title: `This browser cannot show ${NAMES[key]}`, detail: "The file came, but does not open here.", status: -1 });
    }
    if (!this.size) this.#begin(seen);
    this.#forget(key);
    const turned = seen.width !== this.size.width || seen.height !== this.size.height;
    const note = turned ? `${NAMES[key]} lies on its side: its orientation was not kept.` : "";
    Object.assign(this.versions[key], { blob, url, bytes, note });
    if (this.source.seen && !turned) this.#measure(key);
    this.changed();
  }

  #measure(key) {
    const version = this.versions[key];
    const { id, file } = this.source;
    version.measuring = true;
    this.#measurer.ask(key, { id, blob: file }, version.blob, (answer) => {
      if ("psnr" in answer) version.psnr = answer.psnr;
      else Object.assign(version, { measuring: false, msSsim: answer.msSsim ?? null });
      this.changed();
    });
  }

  /* The .gnc is another: what is shown stays until its successor is there, what is not goes. */
  #outdate(key) {
    this.#asked[key]?.stop();
    this.#measurer.drop(key);
    if (Object.values(this.sides).includes(key)) Object.assign(this.versions[key], { outdated: true, working: false });
    else this.#forget(key);
  }

  #forget(key) {
    this.#measurer.drop(key);
    const before = this.versions[key];
    if (before?.url) URL.revokeObjectURL(before.url);
    this.versions[key] = Object.assign(before ?? {}, blank(key), { outdated: false, measuring: false });
  }

  #clear() {
    this.#coding.stop();
    this.#opening.stop();
    this.coming = null;
    this.#measurer.clear();
    for (const each of Object.values(this.#asked)) each.stop();
    for (const key of Object.keys(NAMES)) this.#forget(key);
    this.source = this.encoded = this.decoded = this.info = null;
    this.#compressing = false;
    this.phase = "";
    this.#begin(null);
  }

  #begin(size) {
    this.size = size;
    this.began(size);
  }

  #say(phase) {
    this.phase = phase;
    this.changed();
  }

  async #try(again, task) {
    try {
      await this.#coding.run(task);
    } catch (problem) {
      this.#compressing = false;
      this.phase = "";
      this.#fail(problem, again);
      // Nothing to see, nothing to try again: back to the beginning.
      const vain = !this.source.seen && !this.encoded && !problem.passing && problem.status !== 401;
      if (vain) this.#clear();
      this.changed();
    }
  }

  #fail(problem, again) {
    const { file } = this.source;
    this.#tell(problem, () => this.source?.file === file && again());
  }

  #tell(problem, again) {
    if (problem instanceof ServiceProblem) this.failed(problem, again);
    else {
      console.error(problem);
      this.failed(new ServiceProblem({ title: "This page failed", detail: String(problem), hint: "Reload it.", status: -1 }));
    }
  }
}

const infoOf = async (file, signal) => bodyOf(await call("v1/info", { body: file, signal }), "json");

/* Of a picture as the browser shows it, turned upright; null if it cannot. */
async function sizeOf(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    return null;
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  return width && height ? { width, height } : null;
}

function factsOf(response) {
  const text = (name) => response.headers.get(`Gancodec-${name}`);
  const number = (name) => (text(name) === null ? null : Number(text(name)));
  return { codec: text("Codec"), notice: text("Notice") ?? "", quality: number("Quality"), queueMs: number("Queue-Ms"), computeMs: number("Compute-Ms") };
}

/* Two versions of one picture on one stage, split by a line that can be moved; zoom and place are those of both. */

import { drawDifference } from "./difference.js";

const MOST_FIT = 4; // small pictures are magnified to the stage, but not to a mosaic
const STEPS = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
const MOVES = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Viewer {
  #stage = document.getElementById("stage");
  #layer = document.getElementById("layer");
  #split = document.getElementById("split");
  #canvas = document.getElementById("difference");
  #images = { left: null, right: null };
  #wanted = { left: null, right: null };
  #size = { width: 1, height: 1 };
  #share = 0.5; // of the stage that is left of the line
  #zoom = 0; // 0: as large as fits
  #scale = 1;
  #centre = { x: 0.5, y: 0.5 }; // in pixels of the picture
  #difference = false;
  #last = null; // where the pointer that holds the line or the picture was

  constructor() {
    this.#stage.addEventListener("keydown", (event) => this.#key(event));
    this.#stage.addEventListener("pointerdown", (event) => this.#down(event));
    this.#stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) this.#stage.addEventListener(end, (event) => this.#up(event));
    new ResizeObserver(() => this.#lay()).observe(this.#stage);
    this.#part(0.5);
  }

  /** A new picture of that many pixels. */
  begin(width, height) {
    this.#size = { width, height };
    this.#centre = { x: width / 2, y: height / 2 };
    this.#stage.style.setProperty("--width", width);
    this.#stage.style.setProperty("--height", height);
    this.#part(0.5);
  }

  clear() {
    for (const side of ["left", "right"]) this.#put(side, null, (this.#wanted[side] = null));
  }

  /** Show a version on one side once it is decoded: the one before stays until then. */
  async show(side, url, name) {
    const named = this.#images[side];
    if (this.#wanted[side] === url) {
      if (named) named.alt = name;
      return;
    }
    this.#wanted[side] = url;
    const image = new Image();
    image.draggable = false;
    image.alt = name;
    image.src = url;
    try {
      await image.decode();
    } catch {
      return; // replaced meanwhile; that it can be shown was known before
    }
    if (this.#wanted[side] === url) this.#put(side, image);
  }

  set zoom(to) {
    this.#zoom = to;
    this.#lay();
  }

  set pixelated(on) {
    this.#stage.classList.toggle("pixelated", on);
  }

  set difference(on) {
    this.#difference = on;
    this.#stage.classList.toggle("differing", on);
    this.#redraw();
    this.#lay();
  }

  set gain(factor) {
    this.#canvas.style.setProperty("--gain", factor);
  }

  /** Without a line where there is only one version to see. */
  set single(on) {
    this.#stage.classList.toggle("single", on);
  }

  #put(side, image) {
    this.#images[side] = image;
    this.#layer.querySelector(`.${side}`).replaceChildren(...(image ? [image] : []));
    this.#redraw();
  }

  #redraw() {
    const { left, right } = this.#images;
    this.#canvas.hidden = !(this.#difference && left && right);
    if (!this.#canvas.hidden) drawDifference(this.#canvas, left, right);
    else this.#canvas.width = this.#canvas.height = 1; // large ones hold much memory
  }

  #lay() {
    const { width, height } = this.#size;
    const room = { x: this.#stage.clientWidth, y: this.#stage.clientHeight };
    if (!room.x) return;
    this.#scale = this.#zoom || Math.min(MOST_FIT, room.x / width, room.y / height);
    const within = (place, side, span) => {
      const half = span / 2 / this.#scale;
      return side <= 2 * half ? side / 2 : clamp(place, half, side - half);
    };
    this.#centre = { x: within(this.#centre.x, width, room.x), y: within(this.#centre.y, height, room.y) };
    const left = Math.round(room.x / 2 - this.#centre.x * this.#scale);
    const top = Math.round(room.y / 2 - this.#centre.y * this.#scale);
    this.#layer.style.width = `${width * this.#scale}px`;
    this.#layer.style.height = `${height * this.#scale}px`;
    this.#layer.style.transform = `translate(${left}px, ${top}px)`;
    this.#layer.style.setProperty("--cut", `${this.#share * room.x - left}px`);
    const pannable = width * this.#scale > room.x + 1 || height * this.#scale > room.y + 1;
    this.#stage.classList.toggle("pannable", pannable);
    if (pannable) this.#stage.tabIndex = 0;
    else this.#stage.removeAttribute("tabindex");
  }

  #part(to) {
    this.#share = clamp(to, 0, 1);
    const percent = Math.round(this.#share * 100);
    this.#stage.style.setProperty("--split", `${this.#share * 100}%`);
    this.#split.setAttribute("aria-valuenow", percent);
    this.#split.setAttribute("aria-valuetext", `${percent} % is the left version, ${100 - percent} % the right one`);
    this.#lay();
  }

  #pan(byX, byY) {
    this.#centre = { x: this.#centre.x - byX / this.#scale, y: this.#centre.y - byY / this.#scale };
    this.#lay();
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target === this.#split && event.key in STEPS) {
      this.#part(this.#share + STEPS[event.key] * (event.shiftKey ? 5 : 1));
    } else if (event.target === this.#stage && event.key in MOVES) {
      this.#pan(...MOVES[event.key].map((way) => (way * this.#stage.clientWidth) / 8));
    } else return;
    event.preventDefault();
  }

  #down(event) {
    if (event.button !== 0 || this.#last) return;
    const onSplit = this.#split.contains(event.target);
    const panning = !onSplit && this.#stage.classList.contains("pannable");
    if (!panning && this.#stage.matches(".differing, .single")) return;
    this.#last = { id: event.pointerId, x: event.clientX, y: event.clientY, panning };
    this.#stage.setPointerCapture(event.pointerId);
    this.#stage.classList.add("moving");
    if (panning) return;
    // A finger may be about to scroll the page: the line follows it, but does not jump to it.
    if (!onSplit && event.pointerType === "mouse") {
      this.#part((event.clientX - this.#stage.getBoundingClientRect().left) / this.#stage.clientWidth);
    }
    if (event.pointerType === "mouse") event.preventDefault();
    this.#split.focus({ preventScroll: true });
  }

  #move(event) {
    if (event.pointerId !== this.#last?.id) return;
    const byX = event.clientX - this.#last.x;
    const byY = event.clientY - this.#last.y;
    this.#last = { ...this.#last, x: event.clientX, y: event.clientY };
    if (this.#last.panning) this.#pan(byX, byY);
    else this.#part(this.#share + byX / this.#stage.clientWidth);
  }

  #up(event) {
    if (event.pointerId !== this.#last?.id) return;
    this.#last = null;
    this.#stage.classList.remove("moving");
  }
}

// Draws positions on the sky: the whole of it, or a field that can be dragged and zoomed.

import { ECLIPTIC, extent, Field, GALACTIC_EQUATOR, WholeSky } from "./projection.js";

const NEAR = 12; // pixels within which the pointer finds a point
const FIELD_BELOW = 40; // degrees: smaller answers are shown as a field

export class Sky {
  constructor(figure, onPick, describe) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.tip = figure.querySelector("[data-tip]");
    this.caption = figure.querySelector("[data-sky-caption]");
    this.views = [...figure.querySelectorAll("[data-view]")];
    this.onPick = onPick;
    this.describe = describe;
    this.points = [];
    this.map = new WholeSky();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.views.forEach((button) => button.addEventListener("click", () => this.view(button.dataset.view)));
    this.listen();
  }

  /** `points` are {lon, lat, weight, index}; weight from 0 (faint) to 1 (bright). */
  show(points) {
    this.points = points.filter(({ lon, lat }) => Number.isFinite(lon) && Math.abs(lat) <= 90);
    this.figure.hidden = this.points.length === 0;
    if (this.points.length) {
      this.whole = extent(this.points);
      this.view(this.whole.radius < FIELD_BELOW ? "field" : "all");
    }
  }

  view(name) {
    this.views.forEach((button) => { button.ariaPressed = String(button.dataset.view === name); });
    const { lon, lat, radius } = this.whole;
    const degrees = Math.min(150, Math.max(radius * 2.3, 20 / 3600));
    this.map = name === "all" ? new WholeSky() : new Field(lon, lat, degrees, this.ratio);
    this.canvas.ariaLabel = `Sky map of ${this.points.length} positions around right ascension ${lon.toFixed(1)}, ` +
      `declination ${lat.toFixed(1)} degrees; the rows below list them`;
    this.draw();
  }

  get ratio() {
    return (this.canvas.clientWidth || 2) / (this.canvas.clientHeight || 1);
  }

  get isField() {
    return this.map instanceof Field;
  }

  // --- drawing ---

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) {
      return;
    }
    const dots = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * dots);
    this.canvas.height = Math.round(height * dots);
    this.pen = this.canvas.getContext("2d");
    this.pen.scale(dots, dots);
    if (this.isField) {
      this.map = new Field(this.map.lon, this.map.lat, this.map.degrees, width / height);
    }
    const margin = this.isField ? 0 : 30;
    this.scale = Math.min((width - 2 * margin) / this.map.width, (height - 2 * margin) / this.map.height);
    this.middle = [width / 2, height / 2];
    this.drawGround();
    this.drawGrid();
    this.drawPoints();
    this.caption.textContent = this.words();
  }

  words() {
    const count = `${this.points.length.toLocaleString("en").replaceAll(",", "\u202f")} positions, ICRS.`;
    const lines = "Dashed: galactic equator; dotted: ecliptic.";
    return this.isField ? `${count} ${angle(this.map.degrees)} high; drag to move, scroll to zoom.` : `${count} ${lines}`;
  }

  place(lon, lat) {
    const at = this.map.project(lon, lat);
    return at && [this.middle[0] + at[0] * this.scale, this.middle[1] - at[1] * this.scale];
  }

  drawGround() {
    const { pen } = this;
    const [x, y] = this.middle;
    pen.beginPath();
    if (this.isField) {
      pen.rect(0, 0, 2 * x, 2 * y);
    } else {
      pen.ellipse(x, y, 2 * this.scale, this.scale, 0, 0, 2 * Math.PI);
    }
    const ground = pen.createRadialGradient(x, y, 0, x, y, Math.max(x, y));
    ground.addColorStop(0, "#16204a");
    ground.addColorStop(1, "#0b1130");
    pen.fillStyle = ground;
    pen.fill();
    if (this.isField) {
      return;
    }
    pen.save();
    pen.clip();
    for (const [wide, strength] of [[0.34, 0.035], [0.2, 0.045], [0.09, 0.05]]) {
      this.line(GALACTIC_EQUATOR, { stroke: `rgba(170, 190, 255, ${strength})`, wide: wide * this.scale, dash: [] });
    }
    pen.restore();
  }

  drawGrid() {
    const faint = { stroke: "rgba(160, 180, 255, 0.2)", wide: 1, dash: [] };
    const { map } = this;
    const reach = this.isField ? [Math.max(-90, map.lat - map.degrees), Math.min(90, map.lat + map.degrees)] : [-90, 90];
    const meridians = map.meridians();
    const parallels = map.parallels();
    meridians.forEach((lon) => this.line(between(reach[0], reach[1], 90).map((lat) => [lon, lat]), faint));
    const span = this.isField ? [meridians[0] ?? 0, meridians.at(-1) ?? 360] : [-180, 179.999];
    parallels.forEach((lat) => this.line(between(span[0], span[1], 180).map((lon) => [lon, lat]), faint));
    this.line(GALACTIC_EQUATOR, { stroke: "rgba(190, 205, 255, 0.55)", wide: 1, dash: [5, 5] });
    this.line(ECLIPTIC, { stroke: "rgba(255, 212, 138, 0.5)", wide: 1, dash: [1.5, 4] });
    this.labels(meridians, parallels);
  }

  line(places, { stroke, wide, dash }) {
    const { pen } = this;
    pen.beginPath();
    let last = null;
    for (const [lon, lat] of places) {
      const at = this.map.project(lon, lat);
      if (at) {
        const screen = [this.middle[0] + at[0] * this.scale, this.middle[1] - at[1] * this.scale];
        last && this.map.joins(last, at) ? pen.lineTo(...screen) : pen.moveTo(...screen);
      }
      last = at;
    }
    Object.assign(pen, { strokeStyle: stroke, lineWidth: wide, lineJoin: "round" });
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
  }

  labels(meridians, parallels) {
    const { pen } = this;
    Object.assign(pen, { fillStyle: "rgba(205, 216, 255, 0.75)", font: "11px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    const [width, height] = [this.middle[0] * 2, this.middle[1] * 2];
    const along = this.isField ? this.map.unproject(0, -0.46 * this.map.height)[1] : 0;
    const narrow = !this.isField && width < 560;
    for (const lon of meridians.filter((each) => !narrow || each % 60 === 0)) {
      const at = this.place(lon, along);
      if (at && at[0] > 24 && at[0] < width - 24 && (this.isField || Math.abs(lon) < 179)) {
        pen.fillText(this.isField ? angle((lon + 720) % 360) : `${((lon + 360) % 360) / 15}h`, at[0], at[1] + (this.isField ? 0 : 9));
      }
    }
    const side = this.isField ? this.map.unproject(0.46 * this.map.width, 0)[0] : 0;
    for (const lat of parallels) {
      const at = this.isField ? this.place(side, lat) : this.place(180, lat);
      if (at && at[1] > 12 && at[1] < height - 24 && (lat !== 0 || this.isField)) {
        pen.textAlign = this.isField ? "right" : "left";
        pen.fillText(angle(lat, true), this.isField ? width - 8 : at[0] + 6, at[1]);
      }
    }
  }

  drawPoints() {
    const { pen } = this;
    this.drawn = this.points.map((point) => this.place(point.lon, point.lat));
    const least = this.points.length < 300 ? 1.7 : this.isField ? 1.3 : this.canvas.clientWidth < 560 ? 0.5 : 0.7;
    this.points.forEach(({ weight }, index) => {
      const at = this.drawn[index];
      if (!at) {
        return;
      }
      const radius = least + (least < 1 ? 2.8 : 3.4) * weight ** 2.2;
      if (radius > 2) {
        this.dot(at, radius * 3, "rgba(255, 226, 170, 0.1)");
      }
      this.dot(at, radius, `rgba(255, ${Math.round(246 - 20 * weight)}, ${Math.round(232 - 60 * weight)}, ${0.55 + 0.45 * weight})`);
    });
    if (this.chosen !== undefined && this.drawn[this.chosen]) {
      pen.beginPath();
      pen.arc(...this.drawn[this.chosen], 8, 0, 2 * Math.PI);
      Object.assign(pen, { strokeStyle: "#7fe0ff", lineWidth: 1.5 });
      pen.stroke();
    }
  }

  dot([x, y], radius, colour) {
    this.pen.beginPath();
    this.pen.arc(x, y, radius, 0, 2 * Math.PI);
    this.pen.fillStyle = colour;
    this.pen.fill();
  }

  // --- pointer and keys ---

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  grab(event) {
    this.held = { x: event.offsetX, y: event.offsetY, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  drag(event) {
    if (this.held && this.isField) {
      const [dx, dy] = [event.offsetX - this.held.x, event.offsetY - this.held.y];
      if (this.held.moved || Math.hypot(dx, dy) > 3) {
        this.move(-dx / this.scale, dy / this.scale);
        this.held = { x: event.offsetX, y: event.offsetY, moved: true };
      }
      return;
    }
    this.hover(event);
  }

  release(event) {
    const moved = this.held?.moved;
    this.held = null;
    const found = moved ? undefined : this.nearest(event.offsetX, event.offsetY);
    if (found !== undefined) {
      this.chosen = found;
      this.draw();
      this.onPick(this.points[found].index);
    }
  }

  wheel(event) {
    if (this.isField) {
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.0015));
    }
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (this.isField && steps) {
      this.move(steps[0] * 0.08 * this.map.height, steps[1] * 0.08 * this.map.height);
      event.preventDefault();
    } else if (this.isField && /^[-+=]$/.test(event.key)) {
      this.zoom(event.key === "-" ? 1.25 : 0.8);
      event.preventDefault();
    }
  }

  move(x, y) {
    const [lon, lat] = this.map.unproject(x, y);
    this.map = new Field(lon, Math.max(-89.9, Math.min(89.9, lat)), this.map.degrees, this.ratio);
    this.draw();
  }

  zoom(factor) {
    const degrees = Math.max(2 / 3600, Math.min(150, this.map.degrees * factor));
    this.map = new Field(this.map.lon, this.map.lat, degrees, this.ratio);
    this.draw();
  }

  hover(event) {
    const found = this.nearest(event.offsetX, event.offsetY);
    this.canvas.classList.toggle("over", found !== undefined);
    this.tip.hidden = found === undefined;
    if (found === undefined) {
      return;
    }
    this.tip.replaceChildren(...this.describe(this.points[found].index));
    const left = Math.min(event.offsetX + 14, this.canvas.clientWidth - this.tip.offsetWidth - 8);
    const top = event.offsetY + 16 + this.tip.offsetHeight > this.canvas.clientHeight
      ? event.offsetY - this.tip.offsetHeight - 12 : event.offsetY + 16;
    this.tip.style.left = `${Math.max(8, left)}px`;
    this.tip.style.top = `${Math.max(8, top)}px`;
  }

  nearest(x, y) {
    let [best, distance] = [undefined, NEAR];
    this.drawn?.forEach((at, index) => {
      const gap = at ? Math.hypot(at[0] - x, at[1] - y) : Infinity;
      if (gap < distance) {
        [best, distance] = [index, gap];
      }
    });
    return best;
  }
}

function angle(degrees, signed = false) {
  const sign = degrees < 0 ? "−" : signed && degrees > 0 ? "+" : "";
  const size = Math.abs(degrees);
  if (size >= 1 || size === 0) {
    return `${sign}${Number(size.toFixed(size < 10 ? 2 : 1))}°`;
  }
  return size >= 1 / 60 ? `${sign}${Number((size * 60).toFixed(1))}′` : `${sign}${Number((size * 3600).toFixed(1))}″`;
}

function between(from, to, pieces) {
  return Array.from({ length: pieces + 1 }, (_, index) => from + ((to - from) * index) / pieces);
}

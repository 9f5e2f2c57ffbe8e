// The query box: a textarea with coloured text painted behind it, and a mark where an error is.

const WORDS = new Set(("select top distinct all from as where and or not in between like ilike is null exists group by " +
  "having order asc desc offset join inner left right full outer natural cross on using union except intersect with " +
  "cast case when then else end true false values").split(" "));

const TOKEN = /(--[^\n]*)|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(\b\d[\w.]*|\.\d\w*)|([A-Za-z_]\w*)/g;
const KINDS = ["comment", "string", "name", "number", "word"];

export class Editor {
  constructor(box, onRun) {
    this.text = box.querySelector("textarea");
    this.paint = box.querySelector("[data-paint]");
    this.bad = null;
    this.text.addEventListener("input", () => this.change());
    this.text.addEventListener("scroll", () => this.follow());
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        onRun();
      }
    });
    this.change();
  }

  get query() {
    return this.text.value;
  }

  set query(text) {
    this.text.value = text;
    this.change();
  }

  /** Puts `text` where the cursor is, with blanks around it as needed. */
  insert(text) {
    const { selectionStart: start, selectionEnd: end, value } = this.text;
    const before = /[\w"]$/.test(value.slice(0, start)) ? " " : "";
    this.text.setRangeText(before + text, start, end, "end");
    this.text.focus();
    this.change();
  }

  /** Marks the token at `line` and `column`, both counted from 1, and puts the cursor there. */
  mark(line, column) {
    const lines = this.query.split("\n");
    const at = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
    const rest = this.query.slice(at);
    const length = Math.max(1, (/^(\w+|'[^']*'|"[^"]*")/.exec(rest)?.[0] ?? rest.slice(0, 1)).length);
    this.bad = { start: at, end: at + length };
    this.draw();
    this.text.focus();
    this.text.setSelectionRange(Math.min(at, this.query.length), Math.min(at, this.query.length));
  }

  change() {
    this.bad = null;
    this.text.rows = Math.min(24, Math.max(6, this.query.split("\n").length + 1));
    this.draw();
  }

  draw() {
    const pieces = [];
    let done = 0;
    for (const match of this.query.matchAll(TOKEN)) {
      pieces.push(...this.piece(done, match.index, ""));
      const group = match.slice(1).findIndex((found) => found !== undefined);
      done = match.index + match[0].length;
      pieces.push(...this.piece(match.index, done, kind(KINDS[group], match[0], this.query.slice(done))));
    }
    pieces.push(...this.piece(done, this.query.length, ""));
    if (this.bad && this.bad.start >= this.query.length) {
      pieces.push(span("bad", " "));
    }
    this.paint.replaceChildren(...pieces, "\n");
    this.follow();
  }

  /** The text from `start` to `end`, cut where the mark of an error begins or ends. */
  piece(start, end, style) {
    const cuts = this.bad ? [this.bad.start, this.bad.end].filter((at) => at > start && at < end) : [];
    const bounds = [start, ...cuts, end];
    return bounds.slice(1).flatMap((to, index) => {
      const from = bounds[index];
      const wrong = this.bad && from >= this.bad.start && from < this.bad.end ? " bad" : "";
      return to > from ? [span(style + wrong, this.query.slice(from, to))] : [];
    });
  }

  follow() {
    this.paint.scrollTop = this.text.scrollTop;
    this.paint.scrollLeft = this.text.scrollLeft;
  }
}

function kind(found, text, rest) {
  if (found !== "word") {
    return found;
  }
  if (WORDS.has(text.toLowerCase())) {
    return "keyword";
  }
  return /^\s*\(/.test(rest) ? "function" : "";
}

function span(style, text) {
  const element = document.createElement("span");
  element.className = style;
  element.textContent = text;
  return element;
}

// Ties the page together: the list of tables, the query box, the answer.

import { Editor } from "./editor.js";
import { readable, Rows } from "./rows.js";
import { Sky } from "./sky.js";
import { failed, isNumber, readVotable } from "./votable.js";

const SYNC = new URL("../tap/sync", import.meta.url);
const LONGEST_ADDRESS = 6000; // some servers between us cut longer ones

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];
const grouped = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");

// --- every page ---

function theme() {
  const kept = localStorage.getItem("theme");
  if (kept) {
    document.documentElement.dataset.theme = kept;
  }
  find("[data-theme-button]").addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  });
}

function copying() {
  for (const button of findAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copy);
      field.select();
      await navigator.clipboard?.writeText(field.value);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}

function filtering() {
  for (const field of findAll("[data-filter]")) {
    const within = field.closest("aside, section");
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const entry of findAll("[data-entry]", within)) {
        entry.hidden = !words.every((word) => entry.dataset.entry.includes(word));
      }
      for (const schema of findAll("details.schema", within)) {
        const some = findAll("[data-entry]", schema).some((entry) => !entry.hidden);
        schema.hidden = !some;
        schema.open = schema.open || (words.length > 0 && some);
      }
    });
  }
}

// --- the workbench ---

class Bench {
  constructor(form) {
    this.form = form;
    this.editor = new Editor(find(".editor", form), () => this.run());
    this.error = find("[data-error]", form);
    this.status = find("[data-status]", form);
    this.section = find("#answer");
    this.rows = new Rows(find("[data-rows]"), find("[data-more]"));
    this.sky = new Sky(find("[data-sky]"), (index) => this.rows.pick(index), (index) => this.words(index));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    findAll("[data-example]").forEach((button) => button.addEventListener("click", () => this.ask(button.dataset.example)));
    findAll("[data-download]").forEach((button) => button.addEventListener("click", () => this.download(button)));
    findAll("details.table").forEach((table) => table.addEventListener("toggle", () => this.open(table)));
    window.addEventListener("hashchange", () => this.fromAddress());
    this.fromAddress() || this.atOnce();
  }

  /** A query in the address (#query=...) is shown and run, so that links to queries can be passed on. */
  fromAddress() {
    const query = new URLSearchParams(location.hash.slice(1)).get("query");
    if (query && query !== this.editor.query) {
      this.ask(query);
    }
    return Boolean(query);
  }

  atOnce() {
    const example = find("[data-at-once]");
    if (example) {
      this.ask(example.dataset.example, { keep: false });
    }
  }

  ask(query, { keep = true } = {}) {
    this.editor.query = query;
    return this.run({ keep });
  }

  async run({ keep = true } = {}) {
    this.turn?.abort();
    const turn = this.turn = new AbortController();
    const query = this.editor.query;
    this.fail("");
    this.status.textContent = "Asking …";
    this.form.ariaBusy = "true";
    const began = performance.now();
    const answer = await this.fetch(query, turn.signal);
    if (turn.signal.aborted) {
      return;
    }
    this.form.ariaBusy = "false";
    const seconds = (performance.now() - began) / 1000;
    if (keep) {
      history.replaceState(null, "", `#${new URLSearchParams({ query })}`);
    }
    answer.status === "ERROR" && !answer.fields.length ? this.fail(answer.message) : this.show(answer, seconds);
  }

  async fetch(query, signal) {
    const body = new URLSearchParams({
      LANG: "ADQL", QUERY: query, RESPONSEFORMAT: "votable/td", MAXREC: this.form.elements.MAXREC.value,
    });
    try {
      const response = await fetch(SYNC, { method: "POST", body, signal });
      return readVotable(await response.text());
    } catch (error) {
      return failed(`The archive could not be reached (${error.message}).`);
    }
  }

  fail(words) {
    const message = words.replace(/^\w+Fault:\s*/, "");
    this.error.hidden = !message;
    this.status.textContent = "";
    if (!message) {
      return;
    }
    this.section.hidden = true;
    const [, line, column, rest] = /^line (\d+), column (\d+):\s*([\s\S]*)$/i.exec(message) ?? [];
    this.error.replaceChildren(...(line ? this.placed(Number(line), Number(column), rest) : [paragraph(message)]));
    if (line) {
      this.editor.mark(Number(line), Number(column));
    }
  }

  placed(line, column, rest) {
    const excerpt = document.createElement("pre");
    const text = this.editor.query.split("\n")[line - 1] ?? "";
    const from = Math.max(0, column - 60);
    excerpt.textContent = `${text.slice(from, from + 100)}\n${" ".repeat(column - 1 - from)}▲`;
    return [paragraph(`Line ${line}, column ${column}`, "place"), paragraph(rest.charAt(0).toUpperCase() + rest.slice(1)), excerpt];
  }

  show(answer, seconds) {
    this.answer = answer;
    this.section.hidden = false;
    const count = `${grouped(answer.rows.length)} row${answer.rows.length === 1 ? "" : "s"}`;
    const time = seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
    this.status.textContent = `${count} in ${time}`;
    find("[data-summary]").textContent = `${count}, ${answer.fields.length} column${answer.fields.length === 1 ? "" : "s"}`;
    this.notice([
      answer.status === "OVERFLOW" ? `There are more rows than the ${grouped(answer.rows.length)} shown here: raise the limit, or download all rows.` : "",
      answer.status === "ERROR" ? `The answer broke off: ${answer.message}` : "",
      ...answer.notes,
    ]);
    this.rows.show(answer);
    this.sky.chosen = undefined;
    this.sky.show(positions(answer));
  }

  notice(lines) {
    const notice = find("[data-notice]");
    const told = lines.filter(Boolean);
    notice.hidden = told.length === 0;
    notice.textContent = told.join(" ");
  }

  words(index) {
    return this.answer.fields.slice(0, 8).map((field, column) => {
      const value = this.answer.rows[index][column];
      return paragraph(`${field.name}  ${value === null ? "–" : readable(value, field)}${field.unit ? ` ${field.unit}` : ""}`);
    });
  }

  async download(button) {
    const { download: format, extension } = button.dataset;
    const most = button.closest("[data-most]").dataset.most;
    const parameters = new URLSearchParams({ LANG: "ADQL", QUERY: this.editor.query, RESPONSEFORMAT: format, MAXREC: most });
    const link = document.createElement("a");
    link.download = `answer.${extension}`;
    if (`${SYNC}?${parameters}`.length < LONGEST_ADDRESS) {
      link.href = `${SYNC}?${parameters}`;
    } else {
      const response = await fetch(SYNC, { method: "POST", body: parameters });
      link.href = URL.createObjectURL(await response.blob());
    }
    link.click();
  }

  async open(table) {
    if (!table.open || table.dataset.loaded) {
      return;
    }
    table.dataset.loaded = "yes";
    const target = find("[data-target]", table);
    const response = await fetch(table.dataset.columns);
    if (!response.ok) {
      return;
    }
    target.innerHTML = await response.text();
    findAll("[data-insert]", target).forEach((button) => button.addEventListener("click", () => this.editor.insert(button.dataset.insert)));
    findAll("[data-query]", target).forEach((button) => button.addEventListener("click", () => this.ask(button.dataset.query)));
  }
}

/** Where the rows are on the sky and how bright: by UCD, else by the usual names, else by a point. */
function positions({ fields, rows }) {
  const numbers = (field) => isNumber(field);
  const choose = (ucd, names) =>
    [fields.findIndex((field) => numbers(field) && field.ucd.startsWith(ucd) && field.ucd.includes("meta.main")),
      fields.findIndex((field) => numbers(field) && field.ucd.split(";")[0] === ucd),
      fields.findIndex((field) => numbers(field) && names.includes(field.name.toLowerCase()))].find((index) => index >= 0) ?? -1;
  const lon = choose("pos.eq.ra", ["ra", "raj2000", "ra_icrs", "s_ra", "ra2000"]);
  const lat = choose("pos.eq.dec", ["dec", "dej2000", "de_icrs", "s_dec", "dec2000", "decl"]);
  const point = fields.findIndex((field) => field.xtype === "point");
  if ((lon < 0 || lat < 0) && point < 0) {
    return [];
  }
  const weigh = weights(fields, rows);
  return rows.map((row, index) => {
    const [x, y] = lon >= 0 && lat >= 0 ? [row[lon], row[lat]] : (row[point] ?? "").trim().split(/\s+/);
    return { lon: x ? Number(x) : NaN, lat: y ? Number(y) : NaN, weight: weigh(row), index };
  });
}

/** From 0 (faintest) to 1 (brightest), by the first magnitude there is. */
function weights(fields, rows) {
  const column = fields.findIndex((field) => isNumber(field) && field.ucd.startsWith("phot.mag"));
  const values = column < 0 ? [] : rows.flatMap((row) => row[column] === null ? [] : [Number(row[column])]);
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  return (row) => column < 0 || row[column] === null || high <= low ? 0.35 : (high - Number(row[column])) / (high - low);
}

function paragraph(text, style = "") {
  const made = document.createElement("p");
  made.className = style;
  made.textContent = text;
  return made;
}

theme();
copying();
filtering();
if (find("form#ask")) {
  new Bench(find("form#ask"));
}

// The rows of an answer as a table: drawn piece by piece, sorted by a click on a column's name.

import { isNumber } from "./votable.js";

const PIECE = 200;

export class Rows {
  constructor(box, more) {
    this.box = box;
    this.more = more;
    this.more.addEventListener("click", () => this.grow());
  }

  show(answer) {
    this.fields = answer.fields;
    this.rows = answer.rows;
    this.order = answer.rows.map((_, index) => index);
    this.sorted = null;
    this.draw();
  }

  draw() {
    const table = element("table", "list");
    this.head = table.createTHead().insertRow();
    this.fields.forEach((field, index) => this.head.append(this.headCell(field, index)));
    this.body = table.createTBody();
    this.box.replaceChildren(table);
    this.box.scrollTop = 0;
    this.shown = 0;
    this.grow();
  }

  headCell(field, index) {
    const cell = element("th", isNumber(field) ? "number" : "");
    cell.scope = "col";
    const button = element("button", "", field.name);
    button.type = "button";
    button.title = [field.description, field.ucd].filter(Boolean).join("\n") || field.datatype;
    button.addEventListener("click", () => this.sort(index));
    cell.append(button, element("span", "unit", field.unit));
    if (this.sorted?.index === index) {
      cell.ariaSort = this.sorted.down ? "descending" : "ascending";
    }
    return cell;
  }

  grow() {
    const next = this.order.slice(this.shown, this.shown + PIECE);
    for (const index of next) {
      const row = this.body.insertRow();
      row.dataset.index = index;
      this.rows[index].forEach((value, column) => row.append(valueCell(value, this.fields[column])));
    }
    this.shown += next.length;
    this.more.hidden = this.shown >= this.order.length;
    this.more.textContent = `Show more rows (${(this.order.length - this.shown).toLocaleString("en").replaceAll(",", "\u202f")} left)`;
  }

  sort(index) {
    const down = this.sorted?.index === index && !this.sorted.down;
    this.sorted = { index, down };
    const value = isNumber(this.fields[index]) ? (row) => row[index] === null ? null : Number(row[index]) : (row) => row[index];
    const sign = down ? -1 : 1;
    this.order.sort((one, other) => {
      const [a, b] = [value(this.rows[one]), value(this.rows[other])];
      if (a === null || b === null) {
        return (a === null) - (b === null);
      }
      return a < b ? -sign : a > b ? sign : one - other;
    });
    this.draw();
  }

  /** Scrolls to the row and marks it. */
  pick(index) {
    while (this.order.indexOf(index) >= this.shown && this.shown < this.order.length) {
      this.grow();
    }
    this.body.querySelector(".picked")?.classList.remove("picked");
    const row = this.body.querySelector(`[data-index="${index}"]`);
    row?.classList.add("picked");
    row?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
}

/** A number short enough to read; other values as they are. */
export function readable(value, field) {
  if (/^(float|double)$/.test(field.datatype) && !field.arraysize && Number.isFinite(Number(value))) {
    return String(Number(Number(value).toPrecision(field.datatype === "float" ? 7 : 11)));
  }
  return value;
}

function valueCell(value, field) {
  const cell = element("td", isNumber(field) ? "number" : "");
  if (value === null) {
    cell.classList.add("none");
    cell.textContent = "–";
  } else if (/^https?:\/\/\S+$/.test(value)) {
    const link = element("a", "", value);
    link.href = value;
    link.rel = "noopener noreferrer";
    cell.append(link);
  } else {
    cell.textContent = readable(value, field);
    if (cell.textContent !== value || value.length > 40) {
      cell.title = value;
    }
  }
  return cell;
}

function element(name, style, text = "") {
  const made = document.createElement(name);
  made.className = style;
  made.textContent = text;
  return made;
}

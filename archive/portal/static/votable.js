// Reads a VOTable in TABLEDATA serialisation into plain objects.

const STATUS = "QUERY_STATUS";

/** {fields, rows, status, message, notes}: rows are arrays of strings, null where a cell is empty. */
export function readVotable(text) {
  const document_ = new DOMParser().parseFromString(text, "text/xml");
  if (document_.querySelector("parsererror")) {
    return failed("The service answered with something that is not a VOTable.");
  }
  const infos = [...document_.querySelectorAll("RESOURCE > INFO")];
  const states = infos.filter((info) => info.getAttribute("name") === STATUS);
  const last = states.at(-1);
  return {
    fields: [...document_.querySelectorAll("TABLE > FIELD")].map(readField),
    rows: [...document_.querySelectorAll("TABLEDATA > TR")].map(readRow),
    status: last?.getAttribute("value") ?? "OK",
    message: last?.textContent.trim() ?? "",
    notes: infos.filter((info) => /^note/i.test(info.getAttribute("name"))).map((info) => info.textContent.trim() || info.getAttribute("value")),
  };
}

export function failed(message) {
  return { fields: [], rows: [], status: "ERROR", message, notes: [] };
}

export function isNumber(field) {
  return /^(short|int|long|float|double|unsignedByte)$/.test(field.datatype) && !field.arraysize;
}

function readField(element) {
  const read = (name) => element.getAttribute(name) ?? "";
  return {
    name: read("name"),
    datatype: read("datatype"),
    arraysize: read("arraysize"),
    xtype: read("xtype"),
    unit: read("unit"),
    ucd: read("ucd"),
    description: element.querySelector("DESCRIPTION")?.textContent.trim() ?? "",
  };
}

function readRow(row) {
  return Array.from(row.children, (cell) => cell.textContent === "" ? null : cell.textContent);
}

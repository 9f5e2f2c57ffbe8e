"""Everything that can be wrong in a description is told with its place and a remedy, all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.documents import Problem
from archive.releases import breaking_changes, examine, from_documents

GOOD = """\
name: x
tables:
- name: t
  primaryKey: "#t.a"
  columns:
  - name: a
    datatype: long
  - name: b
    datatype: double
    ivoa:unit: deg
    ivoa:ucd: pos.eq.ra
  - name: c
    datatype: double
    ivoa:unit: deg
"""
FACTS = """\
schema: x
id_block: 3
tables:
  t:
    position: [b, c]
    ids: {a: release}
"""


def problems(folder: Path, text: str, facts: str | None = None, **others: str) -> list[Problem]:
    (folder / "x.yaml").write_text(text, encoding="utf-8")
    if facts is not None:
        (folder / "x.archive.yaml").write_text(facts, encoding="utf-8")
    for name, other in others.items():
        (folder / f"{name}.yaml").write_text(other, encoding="utf-8")
    return list(examine(folder / "x.yaml")[1])


def test_the_good_one_is_good(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD, FACTS) == []


# what is changed in GOOD, and what is said of it: line, table, column, message, remedy
FELIS_FAULTS = {
    "not YAML": (("name: x", "name: [x"), "x.yaml line 2", "not YAML", "Check indentation"),
    "a tab": (("  columns", "\tcolumns"), "x.yaml line 5", "not YAML", "indentation"),
    "a control character": (("name: x", "name: x\x07"), "x.yaml line 1", "characters that YAML does not", ""),
    "a list": ((GOOD, "- name: x\n"), "x.yaml line 1", "must be a mapping", "Begin with 'name"),
    "no name": (("name: x\n", ""), "x.yaml line 1", "'name' is missing", "Add 'name: ...'"),
    "no tables": ((GOOD, "name: x\n"), "x.yaml line 1", "'tables' is missing", "Add 'tables"),
    "an unknown key": (
        ("primaryKey", "primarykey"),
        "line 4, t:",
        "'primarykey' is unknown",
        "Did you mean 'primaryKey'?",
    ),
    "a key twice": (
        ("    datatype: long", "    datatype: long\n    datatype: int"),
        "line 8, t:",
        "given twice",
        "one",
    ),
    "a key that is no text": (("name: x", "name: x\n7: 8"), "line 2:", "the key '7' is not text", "quotes"),
    "a name that YAML reads otherwise": (
        ("- name: c", "- name: no"),
        "line 12, t:",
        "must be text, not 'no'",
        "quotes",
    ),
    "no column name": (("  - name: c\n    datatype", "  - datatype"), "line 12, t:", "'name' is missing", "Add"),
    "an unknown type": (("datatype: long", "datatype: log"), "line 7, t.a:", "'datatype: log' is not known", "'long'?"),
    "no type": (("    datatype: long\n", ""), "line 6, t.a:", "'datatype' is missing", "Add"),
    "columns are a mapping": (
        (GOOD, "name: x\ntables:\n- name: t\n  columns: {a: long}\n"),
        "x.yaml line 4, t:",
        "'columns' must be a list",
        "- ",
    ),
    "a column is a text": (("  - name: c", "  - c\n  - name: c"), "line 12, t:", "must be a mapping, not 'c'", ""),
    "two columns of a name": (("name: c", "name: b"), "line 12, t.b:", "two columns 'b'", "differ"),
    "two tables of a name": ((GOOD, GOOD + "- name: t\n  columns: []\n"), "line 15, t:", "two tables 't'", "differ"),
    "no columns": ((GOOD, "name: x\ntables:\n- name: t\n  columns: []\n"), "line 3, t:", "has no columns", "Describe"),
    "a schema's name": (("name: x", "name: 1x"), "line 1:", "cannot be called '1x'", "letter"),
    "a version's name": (("name: x", "name: x_v1"), "line 1:", "cannot be called 'x_v1'", "keeps such names"),
    "the uploads' name": (("name: x", "name: TAP_Upload"), "line 1:", "cannot be called", "keeps such names"),
    "an internal name": (("name: c", "name: _c"), "line 12, t._c:", "cannot be called '_c'", "internal"),
    "a quote in a name": (("name: c", "name: 'c\"'"), "line 12, t", "cannot be called", "printable"),
    "a long name": (("name: c", "name: " + "c" * 129), "line 12, t", "cannot be called", "128"),
    "a bad unit": (
        ("unit: deg\n    ivoa:ucd", "unit: degg\n    ivoa:ucd"),
        "line 8, t.b:",
        "'degg' is not a VOUnit",
        "deg",
    ),
    "a bad UCD": (("pos.eq.ra", "pos.eq.raa"), "line 8, t.b:", "'pos.eq.raa' is not UCD1+", "ivoa.net"),
    "a UCD out of place": (("pos.eq.ra", "meta.main"), "line 8, t.b:", "'meta.main' is not UCD1+", "ivoa.net"),
    "two units": (
        ("    ivoa:unit: deg\n    ivoa:ucd", "    ivoa:unit: deg\n    fits:tunit: deg\n    ivoa:ucd"),
        "line 8, t.b:",
        "given twice",
        "Keep",
    ),
    "a bad FITS unit": (
        ("ivoa:unit: deg\n    ivoa:ucd", "fits:tunit: dg\n    ivoa:ucd"),
        "line 8, t.b:",
        "not a FITS unit",
        "ivoa:unit",
    ),
    "no length": (("datatype: long", "datatype: string"), "line 6, t.a:", "needs a length", "length"),
    "a bad length": (("datatype: long", "datatype: string\n    length: 0"), "line 8, t.a:", "at least 1, not 0", ""),
    "a length that is no number": (
        ("datatype: long", "datatype: char\n    length: x"),
        "line 8, t.a:",
        "whole number, not 'x'",
        "",
    ),
    "a bad number": (
        ("datatype: long", "datatype: char\n    length: 0x"),
        "line 8, t.a:",
        "must be a whole number",
        "",
    ),
    "a bad truth": (("datatype: long", "datatype: long\n    nullable: maybe"), "line 8, t.a:", "true or false", ""),
    "a bad flag": (("datatype: long", "datatype: long\n    tap:principal: 2"), "line 8, t.a:", "0 or 1, not 2", ""),
    "a bad arraysize": (
        ("datatype: long", "datatype: long\n    votable:arraysize: 2y"),
        "line 6, t.a:",
        "not VOTable syntax",
        "quotes",
    ),
    "a bad VOTable type": (
        ("datatype: long", "datatype: long\n    votable:datatype: lng"),
        "line 6, t.a:",
        "no VOTable datatype",
        "'long'?",
    ),
    "another VOTable type": (
        ("datatype: long", "datatype: long\n    votable:datatype: int"),
        "line 6, t.a:",
        "does not fit",
        "'long' in VOTable",
    ),
    "a point of one number": (
        ("datatype: long", "datatype: double\n    votable:xtype: point"),
        "line 6, t.a:",
        "'point' needs",
        "DALI",
    ),
    "a number as timestamp": (
        ("datatype: long", "datatype: long\n    votable:xtype: timestamp"),
        "line 6, t.a:",
        "'timestamp' needs",
        "",
    ),
    "a precision": (
        ("datatype: long", "datatype: long\n    precision: 3"),
        "line 6, t.a:",
        "only a timestamp",
        "Remove",
    ),
    "a default of another type": (
        ("datatype: long", "datatype: long\n    value: x"),
        "line 6, t.a:",
        "default value 'x'",
        "type",
    ),
    "a default and a count": (
        ("datatype: long", "datatype: long\n    value: 1\n    autoincrement: true"),
        "line 6, t.a:",
        "both count",
        "Remove",
    ),
    "a key of nothing": (('"#t.a"', '"#t.aa"'), "line 3, t:", "the primary key names '#t.aa'", "Did you mean '#t.a'?"),
    "a key twice in itself": (('"#t.a"', '["#t.a", "#t.a"]'), "line 3, t:", "names a column twice", "once"),
    "an identifier twice": (("name: b", 'name: b\n    "@id": "#t.a"'), "line 8, t.b:", "'#t.a' stands twice", "own"),
    "an unknown resource": (
        ("  columns:", "  columnRefs: {base: {s: {r: }}}\n  columns:"),
        "line 5, t:",
        "'base' is not known",
        "resources",
    ),
}


@pytest.mark.parametrize("case", FELIS_FAULTS)
def test_a_fault_of_the_felis_document(case: str, tmp_path: Path) -> None:
    (old, new), place, message, remedy = FELIS_FAULTS[case]
    assert old in GOOD
    told = [str(problem) for problem in problems(tmp_path, GOOD.replace(old, new, 1))]
    assert any(place in text and message in text and remedy in text for text in told), told


CONSTRAINTS = {
    "no type": ("name: k\n    columns: ['#t.a']", "'@type' is missing", ""),
    "a wrong type": ("name: k\n    '@type': Foreign", "'@type: Foreign' is not known", "'ForeignKey'?"),
    "nothing to check": ("name: k\n    '@type': Check", "'expression' is missing", ""),
    "unique nothing": ("name: k\n    '@type': Unique\n    columns: ['#t.z']", "names '#t.z'", "Did you mean"),
    "a foreign key to nothing": (
        "name: k\n    '@type': ForeignKey\n    columns: ['#t.a']\n    referencedColumns: ['#u.z']",
        "refers to '#u.z', which is no column here",
        "Did you mean '#u.s'?",
    ),
    "a foreign key of other columns": (
        "name: k\n    '@type': ForeignKey\n    columns: ['#u.a']\n    referencedColumns: ['#u.a']",
        "names '#u.a', which is no column of table 't'",
        "Did you mean '#t.a'?",
    ),
    "two to one": (
        "name: k\n    '@type': ForeignKey\n    columns: ['#t.a', '#t.b']\n    referencedColumns: ['#u.a']",
        "has 2 columns and refers to 1",
        "same length",
    ),
    "two tables": (
        "name: k\n    '@type': ForeignKey\n    columns: ['#t.a', '#t.b']\n    referencedColumns: ['#u.a', '#t.c']",
        "refers to more than one table",
        "each",
    ),
    "number and text": (
        "name: k\n    '@type': ForeignKey\n    columns: ['#t.a']\n    referencedColumns: ['#u.s']",
        "sets long 'a' equal to text 's'",
        "comparable",
    ),
    "an unknown action": (
        "name: k\n    '@type': ForeignKey\n    columns: ['#t.a']\n    referencedColumns: ['#u.a']\n    on_delete: DROP",
        "'on_delete: DROP' is not known",
        "CASCADE",
    ),
}


@pytest.mark.parametrize("case", CONSTRAINTS)
def test_a_fault_of_a_constraint(case: str, tmp_path: Path) -> None:
    constraint, message, remedy = CONSTRAINTS[case]
    other = "- name: u\n  columns:\n  - {name: a, datatype: long}\n  - {name: s, datatype: text}\n"
    told = [str(problem) for problem in problems(tmp_path, f"{GOOD}  constraints:\n  - {constraint}\n{other}")]
    assert any("line 16, t:" in text and message in text and remedy in text for text in told) or any(
        message in text and remedy in text for text in told
    ), told


def test_an_index_needs_columns_or_expressions(tmp_path: Path) -> None:
    told = problems(tmp_path, f"{GOOD}  indexes:\n  - name: i\n  - name: j\n    columns: ['#t.q']\n")
    assert [problem.message for problem in told] == [
        "the index 'i' needs either 'columns' or 'expressions'.",
        "the index 'j' names '#t.q', which is no column of table 't'.",
    ]


BASE = "name: base\ntables:\n- name: s\n  columns:\n  - {name: r, datatype: int}\n"
REFERENCES = {
    "a resource that is not there": ("uri: other.yaml", "{base: {s: {r: }}}", "'other.yaml' is not here", "beside"),
    "a table that is not there": ("uri: base.yaml", "{base: {ss: {r: }}}", "'base' has no table 'ss'", "'s'?"),
    "a column that is not there": ("uri: base.yaml", "{base: {s: {rr: }}}", "'s' has no column 'rr'", "'r'?"),
    "an override that is none": (
        "uri: base.yaml",
        "{base: {s: {r: {overrides: {unit: m}}}}}",
        "the key 'unit' is unknown",
        "",
    ),
    "itself": ("uri: x.yaml", "{base: {s: {r: }}}", "leads back to itself", "circle"),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_a_fault_of_a_reference(case: str, tmp_path: Path) -> None:
    resource, references, message, remedy = REFERENCES[case]
    text = GOOD.replace("tables:", f"resources:\n  base:\n    {resource}\ntables:", 1)
    text = text.replace("  columns:", f"  columnRefs: {references}\n  columns:", 1)
    told = [str(problem) for problem in problems(tmp_path, text, base=BASE)]
    assert any(message in text and remedy in text for text in told), told


FACT_FAULTS = {
    "another schema": (("schema: x", "schema: y"), "line 1:", "facts of 'y', the schema is 'x'", "equal"),
    "an unknown key": (("id_block", "block"), "line 2:", "the key 'block' is unknown", "id_block"),
    "an unknown kind": (("id_block: 3", "id_block: 3\nkind: star"), "line 3:", "'kind: star' is not known", "release"),
    "a kind that its name denies": (("schema: x", "schema: x\nkind: external"), "", "", ""),
    "a block too high": (("id_block: 3", "id_block: 128"), "line 2:", "1..127, not 128", ""),
    "no block": (("id_block: 3\n", ""), "line 1:", "need a block", "Add 'id_block"),
    "an unknown table": (("  t:", "  tt:"), "line 5:", "'x' has no table 'tt'", "'t'?"),
    "one position column": (("[b, c]", "[b]"), "line 5, t:", "must name two columns", "[ra, dec]"),
    "a position that is not there": (("[b, c]", "[b, d]"), "line 5, t:", "names 'd', which is no column", ""),
    "a position that is no angle": (("[b, c]", "[a, c]"), "line 5, t:", "'a' is of type long", "double"),
    "an ID that is not there": (("{a: release}", "{a: release, d: external}"), "line 6, t:", "names 'd'", ""),
    "an ID that is too small": (
        ("{a: release}", "{a: release, b: release}"),
        "line 6, t:",
        "'b' is of type double",
        "long",
    ),
    "an unknown scope": (("{a: release}", "{a: local}"), "line 6, t:", "'a: local' is not known", "exposure"),
    "an unknown difference": (
        ("id_block: 3", "id_block: 3\ndifferences: {cones: slow}"),
        "line 3:",
        "'cones' is nothing that a release could differ in",
        "'cone'?",
    ),
    "a difference without a reason": (
        ("id_block: 3", "id_block: 3\ndifferences: {cone: ''}"),
        "line 3:",
        "'cone' is empty",
        "Give it a value",
    ),
    "a key without scope": (("{a: release}", "{}"), "line 5, t:", "'a' of table 't' has no ID scope", "ids: {a:"),
}


@pytest.mark.requirement("DMS-DBB-REQ-0031")
@pytest.mark.parametrize("case", FACT_FAULTS)
def test_a_fault_of_the_facts(case: str, tmp_path: Path) -> None:
    (old, new), place, message, remedy = FACT_FAULTS[case]
    assert old in FACTS
    told = [str(problem) for problem in problems(tmp_path, GOOD, FACTS.replace(old, new, 1))]
    if not message:
        assert told == []
    else:
        assert any(place in text and message in text and remedy in text for text in told), told


def test_names_that_say_what_a_schema_is_for(tmp_path: Path) -> None:
    told = problems(
        tmp_path, GOOD.replace("name: x", "name: sp_x"), FACTS.replace("schema: x", "schema: sp_x\nkind: external")
    )
    assert [problem.message for problem in told] == ["'sp_x' cannot be of kind 'external'."]


def test_units_that_many_know_but_no_standard_are_told_and_taken(tmp_path: Path) -> None:
    told = problems(tmp_path, GOOD.replace("ivoa:unit: deg\n    ivoa:ucd", "ivoa:unit: electron\n    ivoa:ucd"))
    assert [(problem.grave, problem.message) for problem in told] == [(False, "the unit 'electron' is not a VOUnit.")]
    (spelled,) = problems(tmp_path, GOOD.replace("ivoa:unit: deg\n    ivoa:ucd", "ivoa:unit: m2\n    ivoa:ucd"))
    assert (spelled.grave, spelled.remedy) == (False, "Write 'm**2'.")


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("long", "lng").replace("pos.eq.ra", "pos.raa").replace("name: c", "name: _c")
    told = problems(tmp_path, text, FACTS.replace("schema: x", "schema: z"))
    assert {(problem.place.file, problem.place.line) for problem in told} >= {
        ("x.yaml", 7),
        ("x.yaml", 8),
        ("x.yaml", 12),
        ("x.archive.yaml", 1),
    }


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    from archive.faults import UsageFault

    (tmp_path / "x.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(UsageFault, match="cannot be read as text"):
        examine(tmp_path / "x.yaml")


# --- may a description take the place of another? -------------------------------------------------

CHANGES = {
    "words": (("ivoa:ucd: pos.eq.ra", "ivoa:ucd: pos.eq.ra\n    description: New words."), []),
    "a new table": ((GOOD, GOOD + "- name: u\n  columns:\n  - {name: a, datatype: int}\n"), []),
    "a column is gone": (
        ("  - name: c\n    datatype: double\n    ivoa:unit: deg\n", ""),
        ["table 't': column 'c' is gone"],
    ),
    "a column is new": ((GOOD, GOOD + "  - {name: d, datatype: int}\n"), ["table 't': column 'd' is new"]),
    "another type": (
        ("datatype: long", "datatype: int"),
        ["table 't': column 'a' has another type, size, unit or nullability"],
    ),
    "another key": (
        ('"#t.a"', '["#t.a", "#t.c"]'),
        [
            "table 't': column 'c' has another type, size, unit or nullability",
            "table 't': its keys or its position columns differ",
        ],
    ),
    "a table is gone": (("- name: t", "- name: tt"), ["table 't' is gone"]),
}


@pytest.mark.requirement("DMS-DBB-REQ-0054")
@pytest.mark.parametrize("case", CHANGES)
def test_what_may_change_while_rows_are_there(case: str) -> None:
    (old, new), wanted = CHANGES[case]
    assert old in GOOD
    changed = GOOD.replace(old, new, 1).replace('"#t.a"', '"#tt.a"' if "gone" in case and "table" in case else '"#t.a"')
    before, after = from_documents({"x.yaml": GOOD}), from_documents({"x.yaml": changed})
    assert list(breaking_changes(before, after)) == wanted

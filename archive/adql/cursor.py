"""Where the parser stands in the tokens, and what it says when they are not what they should be."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from archive.adql.lexer import END, NAME, NUMBER, QUOTED, STRING, Tokens, fault_at
from archive.adql.tree import Identifier, place_of
from archive.adql.words import AGGREGATES, FUNCTIONS, NEW_IN_2_1, words_of
from archive.faults import UsageFault

MOST_NESTING = 320
"""How deep operands may be nested in one another; a level takes two frames of Python's stack, which has 1 000.

A subquery or a join in parentheses counts ``QUERY`` levels, a parenthesis behind an operator two.
"""
QUERY = 5

_BIGGEST = 2**63 - 1


class Cursor:
    """A place in the tokens. ``i`` is the index of the next token; it is moved on only past what was accepted."""

    def __init__(self, tokens: Tokens) -> None:
        self.text = tokens.text
        self.kinds = tokens.kinds
        self.texts = tokens.texts
        self.places = tokens.places
        self.i = 0
        self.nesting = 0
        self.links = 0  # nodes made so far that deepen the tree without nesting the text

    def accept(self, kind: str) -> bool:
        """Step over the next token if it is a ``kind``."""
        if self.kinds[self.i] == kind:
            self.i += 1
            return True
        return False

    def expect(self, kind: str, expected: str = "") -> None:
        """Step over the next token, which must be a ``kind``."""
        if self.kinds[self.i] != kind:
            raise self.unexpected(expected or kind)
        self.i += 1

    def opened(self) -> int:
        """Step over an opening parenthesis; returns its index for ``close``."""
        i = self.i
        if self.kinds[i] != "(":
            raise self.unexpected('"("')
        self.i = i + 1
        return i

    def close(self, opened: int, expected: str = "") -> None:
        """Step over the parenthesis that closes the one at token ``opened``."""
        if self.kinds[self.i] != ")":
            line, column = place_of(self.text, self.places[opened])
            wanted = f'{expected}{" or " if expected else ""}")" for the "(" at line {line}, column {column}'
            raise self.unexpected(wanted)
        self.i += 1

    def deepen(self, levels: int = 1) -> None:
        """Count ``levels`` of nesting; who adds them takes them off again."""
        self.nesting += levels
        if self.nesting > MOST_NESTING:
            raise self.fault("the query is nested too deeply here.", "Use fewer parentheses, and WITH for subqueries.")

    def identifier(self, expected: str) -> Identifier:
        """Read one name, quoted or not."""
        i = self.i
        kind = self.kinds[i]
        if kind == NAME:
            self.i = i + 1
            return Identifier(self.texts[i], False, self.places[i])
        if kind == QUOTED:
            self.i = i + 1
            return self.quoted(i)
        raise self.unexpected(expected, naming=True)

    def quoted(self, i: int) -> Identifier:
        """The delimited identifier at token ``i``."""
        name = self.texts[i][1:-1].replace('""', '"')
        if not name:
            raise self.fault('"" is no name.', "Write a name between the quotes, or '' for an empty string.", i)
        return Identifier(name, True, self.places[i])

    def unsigned(self, after: str) -> int:
        """Read the number that follows TOP, OFFSET or the name of a type."""
        text = self.texts[self.i]
        if self.kinds[self.i] != NUMBER or not text.isdigit():
            raise self.unexpected(f"a whole number without sign after {after}")
        if len(text) > 19 or int(text) > _BIGGEST:
            raise self.fault(f"{after} {text} is out of range.", f"The largest number is {_BIGGEST}.")
        self.i += 1
        return int(text)

    def fault(self, message: str, remedy: str = "", i: int | None = None) -> UsageFault:
        """The fault ``message`` at token ``i`` (the next one by default)."""
        return fault_at(self.text, self.places[self.i if i is None else i], message, remedy)

    def unexpected(self, expected: str, *, naming: bool = False) -> UsageFault:
        """The fault that another token than the ``expected`` one was found, with the best advice there is."""
        return self.fault(f"expected {expected}, found {self._found()}.", self._advice(naming))

    def _found(self) -> str:
        kind, text = self.kinds[self.i], self.texts[self.i]
        if kind == END:
            return "the end of the query"
        if kind == STRING:
            return "the string " + (text if len(text) <= 40 else f"{text[:36]}...'")
        if kind in (NAME, QUOTED):
            return "the name " + (text if len(text) <= 40 else text[:36] + "...")
        return f"the reserved word {text}" if kind not in _CLAUSES and text[0].isalpha() else f'"{text[:40]}"'

    def _advice(self, naming: bool) -> str:
        i = self.i
        kind, text = self.kinds[i], self.texts[i]
        before = self.kinds[i - 1] if i else ""
        said = "" if kind in (STRING, QUOTED) else _SAID.get(text.upper(), "")
        if kind.isupper() and kind not in (_STARTERS if naming else _CLAUSES) and (naming or not said):
            return self._about_reserved(said)
        if said:
            return said
        if before == NAME and (said := self._about_name(i - 1)):
            return said
        if kind == NAME and (said := self._about_name(i)):
            return said
        if kind == STRING and naming:
            return f'Names go into double quotes: "{text[1:-1]}".'
        if kind in _OPERANDS and before in _COMPLETE:
            return "A comma or an operator may be missing before it."
        if kind in _CLAUSES and before == ",":
            return "There is a comma too many before it."
        if kind == "ALL" and before in COMPARISONS:
            return _QUANTIFIED
        return "Conditions go into WHERE, HAVING or ON." if kind in COMPARISONS else ""

    def _about_reserved(self, said: str) -> str:
        kind, text = self.kinds[self.i], self.texts[self.i]
        if self.kinds[self.i + 1 : self.i + 2] == ["("]:
            return said or (f"A function stands alone: {kind}(...)." if kind in _CALLED else "")
        call = f"Call it as {kind}(...). " if kind in _CALLED else ""
        return f'{said} {call}A reserved word can be a name only in double quotes: "{text}".'.lstrip()

    def _about_name(self, i: int) -> str:
        """What a name at or just before the fault may have been meant to be."""
        word = self.texts[i].upper()
        if word in NEW_IN_2_1:
            return f"{word} belongs to ADQL 2.1: ask with LANG=ADQL-2.1."
        if word in _SAID_BEFORE:
            return _SAID_BEFORE[word]
        near = get_close_matches(word, _KEYWORDS, 1, 0.7)
        return f"Is {self.texts[i]} meant to be {near[0]}?" if near else ""


COMPARISONS = ("=", "<>", "!=", "<", ">", "<=", ">=")
_KEYWORDS = sorted(words_of("SELECT FROM WHERE GROUP HAVING ORDER JOIN BETWEEN UNION USING"))
_STARTERS = {*_KEYWORDS, "ON", "AND", "OR", "INTERSECT", "EXCEPT", "WITH", "AS", "NOT"}
_OPERANDS = frozenset({NAME, QUOTED, NUMBER, STRING})
_CALLED = FUNCTIONS | AGGREGATES | {"CAST"}
_COMPLETE = _OPERANDS | {")", "NULL"}
_CLAUSES = words_of("""
    SELECT FROM WHERE GROUP HAVING ORDER BY UNION EXCEPT INTERSECT WITH AND OR NOT IN LIKE ILIKE BETWEEN IS AS ON
    USING JOIN INNER LEFT RIGHT FULL OUTER NATURAL CROSS ASC DESC DISTINCT ALL EXISTS NULL
""")
"""Words that give a query its form: finding one points to what is missing before it, not to an unquoted name."""

_ROWS = "ADQL limits rows with TOP: SELECT TOP 10 ..., and skips them with OFFSET 10 at the end."
_NO_WINDOWS = "ADQL has no window functions (OVER); use GROUP BY in a subquery and join with it."
_NO_BOOLEANS = "ADQL has no boolean literals: compare a boolean column with 1 or 0."
_TIMES = "Write a time as CAST('2015-06-01T12:00:00' AS TIMESTAMP) or as a plain string."
_ONLY_SELECT = "A query begins with SELECT or WITH; nothing can be changed through ADQL."
_QUANTIFIED = "ADQL has no comparison with ANY, SOME or ALL; use IN (SELECT ...) or EXISTS (SELECT ...)."
_NO_FUNCTION = "ADQL has no such function; /capabilities lists those there are."

_SAID: Mapping[str, str] = {
    "LIMIT": _ROWS,
    "FETCH": _ROWS,
    "ROWS": _ROWS,
    "OVER": _NO_WINDOWS,
    "PARTITION": _NO_WINDOWS,
    "CASE": "ADQL has no CASE; COALESCE(a, b) replaces NULLs, UNION ALL joins queries with different conditions.",
    "WHEN": "ADQL has no CASE.",
    "TRUE": _NO_BOOLEANS,
    "FALSE": _NO_BOOLEANS,
    "UNKNOWN": "Write IS NULL.",
    "DATE": _TIMES,
    "TIME": _TIMES,
    "TIMESTAMP": _TIMES,
    "INTERVAL": "ADQL has no intervals of time; compare times with plain strings or MJD columns with numbers.",
    "CURRENT_TIMESTAMP": "ADQL has no clock; write the time itself.",
    "CURRENT_DATE": "ADQL has no clock; write the time itself.",
    "CURRENT_TIME": "ADQL has no clock; write the time itself.",
    "ESCAPE": "LIKE has no ESCAPE clause in ADQL; % and _ always stand for any characters.",
    "ANY": _QUANTIFIED,
    "SOME": _QUANTIFIED,
    "NULLIF": _NO_FUNCTION,
    "SUBSTRING": _NO_FUNCTION,
    "TRIM": _NO_FUNCTION,
    "EXTRACT": _NO_FUNCTION,
    "CONVERT": "Write CAST(x AS type).",
    "CHAR_LENGTH": _NO_FUNCTION,
    "CHARACTER_LENGTH": _NO_FUNCTION,
    "INSERT": _ONLY_SELECT,
    "UPDATE": _ONLY_SELECT,
    "DELETE": _ONLY_SELECT,
    "DROP": _ONLY_SELECT,
    "CREATE": _ONLY_SELECT,
    "ALTER": _ONLY_SELECT,
    "GRANT": _ONLY_SELECT,
    "NULLS": "NULLS FIRST and NULLS LAST are not in ADQL; NULLs always come last here.",
    "RECURSIVE": "WITH RECURSIVE is not in ADQL.",
    "REGEXP": "ADQL matches text with LIKE and ILIKE.",
    "RLIKE": "ADQL matches text with LIKE and ILIKE.",
    "MINUS": "The difference of two queries is written EXCEPT.",
    "WITH": "WITH may stand only once, at the beginning of the whole query.",
    "INTO": "Queries store nothing: results are downloaded, or uploaded again as a table.",
    "PERCENT": _ROWS,
    "TOP": "TOP n stands behind SELECT, SELECT DISTINCT or SELECT ALL.",
    ";": "Send one query at a time.",
}
"""What is told of a word that stands where it does not belong."""

_SAID_BEFORE: Mapping[str, str] = {
    "LIMIT": _ROWS,
    "OVER": _NO_WINDOWS,
    "RECURSIVE": _SAID["RECURSIVE"],
    "MINUS": _SAID["MINUS"],
}
"""What is told when an innocent token follows such a word, which was taken for a name."""

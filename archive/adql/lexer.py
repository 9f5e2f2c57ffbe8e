"""Text to tokens: one regular expression, three parallel lists.

A token's kind is the reserved word itself (upper case), the operator itself, or one of ``NAME QUOTED NUMBER
STRING END``. Lexical rules: ADQL 2.1 section 2.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from archive.adql.tree import place_of
from archive.adql.words import RESERVED
from archive.faults import UsageFault

NAME = "name"
QUOTED = "quoted"
NUMBER = "number"
STRING = "string"
END = "end"

MOST_CHARACTERS = 2_000_000
"""The longest query that is read at all."""

_SCAN = re.compile(
    r"""
    (?: [ \t\r\n\f]++ | --[^\r\n]*+ )*+
    (?: ([A-Za-z][A-Za-z0-9_]*+)
      | ((?: [0-9]++ (?:\.[0-9]*+)?+ | \.[0-9]++ ) (?:[eE][+-]?[0-9]++)?+ (?![A-Za-z0-9_]))
      | ([-+*%,.();] | <> | != | <= | >= | \|\| | [<>] | =(?!=) | /(?!\*) )
      | ('[^']*+(?:''[^']*+)*+')
      | ("[^"]*+(?:""[^"]*+)*+")
      | (\Z)
      | (.)
    )
    """,
    re.VERBOSE | re.DOTALL,
).finditer
_WORD, _NUMBER, _OPERATOR, _STRING, _QUOTED, _END, _BAD = range(1, 8)
_KINDS = (None, None, NUMBER, None, STRING, QUOTED)

_REFUSED = re.compile("[\x00\ud800-\udfff]")
_JUNK = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(slots=True)
class Tokens:
    """The tokens of ``text``: kinds, texts as written and offsets; the last one is ``END``."""

    text: str
    kinds: list[str]
    texts: list[str]
    places: list[int]


def fault_at(text: str, at: int, message: str, remedy: str = "") -> UsageFault:
    """A fault that begins with the line and column of offset ``at``."""
    line, column = place_of(text, at)
    return UsageFault(f"line {line}, column {column}: {message}", remedy)


def tokens_of(text: str, language: str = "ADQL-2.1") -> Tokens:
    """Cut ``text`` into tokens. Raises ``UsageFault`` at the first character that begins none."""
    _refuse_unreadable(text)
    reserved = RESERVED[language].get
    tokens = Tokens(text, [], [], [])
    add_kind, add_text, add_place = tokens.kinds.append, tokens.texts.append, tokens.places.append
    for match in _SCAN(text):
        group = match.lastindex or _BAD
        token = match[group]
        if group == _WORD:
            add_kind(reserved(token.upper(), NAME))
        elif group == _OPERATOR:
            add_kind(token)
        elif group < _END:
            add_kind(_KINDS[group])  # type: ignore[arg-type]
        elif group == _END:
            break
        else:
            raise _stray(text, match.start(group))
        add_text(token)
        add_place(match.start(group))
    add_kind(END)
    add_text("")
    add_place(len(text))
    return tokens


def _refuse_unreadable(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise UsageFault(
            f"The query has {len(text)} characters; at most {MOST_CHARACTERS} are read.",
            "Upload long lists as a table (UPLOAD) and join with it.",
        )
    if text.isascii() and "\x00" not in text:
        return
    if found := _REFUSED.search(text):
        what = "a NUL character" if found[0] == "\x00" else "half of a character (a lone surrogate)"
        raise fault_at(text, found.start(), f"the query holds {what}.", "Remove it; text is sent as UTF-8.")


def _stray(text: str, at: int) -> UsageFault:
    """The fault of a character no token begins with."""
    character = text[at]
    junk = _JUNK.match(text, at)
    if character.isascii() and junk:
        return _stray_word(text, at, junk[0])
    for start, message, remedy in _STRAY:
        if text.startswith(start, at):
            return fault_at(text, at, message, remedy)
    if character.isalpha():
        begin = next(i for i in range(at, -1, -1) if i == 0 or not _is_word(text[i - 1]))
        end = next((i for i in range(at, len(text)) if not _is_word(text[i])), len(text))
        remedy = f'A name with other than ASCII letters goes into double quotes: "{text[begin:end][:60]}".'
        return fault_at(text, begin, f'"{character}" cannot stand in an unquoted name.', remedy)
    if character.isspace():
        remedy = "Replace it by an ordinary blank; it often comes with text copied from a document."
        return fault_at(text, at, f"a special blank (U+{ord(character):04X}) separates nothing in ADQL.", remedy)
    shown = f'"{character}"' if character.isprintable() else f"the character U+{ord(character):04X}"
    return fault_at(text, at, f"{shown} has no meaning in ADQL.", "Remove it.")


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _stray_word(text: str, at: int, word: str) -> UsageFault:
    if word[0] == "_":
        message = f'the name "{word}" begins with an underscore; names begin with a letter.'
    elif re.match(r"0[xX]", word):
        return fault_at(text, at, f'"{word}": ADQL has no hexadecimal numbers.', f"Write {_hexadecimal(word)}.")
    else:
        message = f'"{word}" is neither a number nor a name.'
    remedy = f'Names that do not begin with a letter go into double quotes: "{word}"; numbers end with a blank.'
    return fault_at(text, at, message, remedy)


def _hexadecimal(word: str) -> str:
    try:
        return str(int(word, 16)) if len(word) < 40 else "it in decimal"
    except ValueError:
        return "it in decimal"


_BITS = "ADQL has no bitwise operators."
_PARAMETERS = "ADQL has no query parameters."
_STRAY = (
    ("'", "this string is not closed.", "End it with '; a quote inside a string is written twice: 'it''s'."),
    ('"', "this quoted name is not closed.", 'End it with "; a double quote inside a name is written twice.'),
    ("/*", "ADQL has no comments of the form /* ... */.", "Begin each line of the comment with --."),
    ("==", '"==" is not an operator.', "Compare with a single =."),
    ("::", 'ADQL has no "::".', "Write CAST(x AS type)."),
    ("`", "names are not quoted with backticks.", 'Use double quotes: "name".'),
    ("[", "names are not quoted with brackets, and array elements cannot be selected.", 'Quote names as "name".'),
    ("‘", "this is a typographic quote.", "Use the plain quote ' around strings."),
    ("’", "this is a typographic quote.", "Use the plain quote ' around strings."),
    ("“", "this is a typographic quote.", "Use ' around strings and \" around names."),
    ("”", "this is a typographic quote.", "Use ' around strings and \" around names."),
    ("−", "this is a typographic minus sign.", "Use the plain -."),
    ("–", "this is a dash.", "Use the plain - as minus sign."),
    ("×", "this is a multiplication sign.", "Multiply with *."),
    ("≤", 'ADQL does not know "≤".', "Write <=."),
    ("≥", 'ADQL does not know "≥".', "Write >=."),
    ("≠", 'ADQL does not know "≠".', "Write <>."),
    ("!", '"!" is not an operator.', "Use <> (or !=) for unequal and NOT for negation."),
    ("^", '"^" is not an operator.', "Use POWER(x, y); ADQL has no bitwise operators."),
    ("&", '"&" is not an operator.', f"Use AND between conditions; {_BITS}"),
    ("|", '"|" is not an operator.', f"Use OR between conditions and || to join strings; {_BITS}"),
    ("~", '"~" is not an operator.', f"Match text with LIKE; {_BITS}"),
    ("#", '"#" has no meaning in ADQL.', "Comments begin with --."),
    ("?", _PARAMETERS, "Write the value itself."),
    (":", _PARAMETERS, "Write the value itself."),
    ("$", _PARAMETERS, "Write the value itself."),
    ("@", _PARAMETERS, "Write the value itself."),
)
"""What people write that is not ADQL: how it begins, what is wrong with it, what to write instead."""

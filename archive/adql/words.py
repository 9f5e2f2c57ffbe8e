"""The words of ADQL: which are reserved, in which version of the language, and which name functions.

Source: ADQL 2.1 (REC 2023-12-15) section 2.1.2; ADQL 2.0 differs by four words only.
"""

from __future__ import annotations

from collections.abc import Mapping

from archive.faults import UsageFault


def words_of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


SQL_RESERVED = words_of("""
    ABSOLUTE ACTION ADD ALL ALLOCATE ALTER AND ANY ARE AS ASC ASSERTION AT AUTHORIZATION AVG BEGIN BETWEEN BIT
    BIT_LENGTH BOTH BY CASCADE CASCADED CASE CAST CATALOG CHAR CHARACTER CHAR_LENGTH CHARACTER_LENGTH CHECK CLOSE
    COALESCE COLLATE COLLATION COLUMN COMMIT CONNECT CONNECTION CONSTRAINT CONSTRAINTS CONTINUE CONVERT CORRESPONDING
    COUNT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURSOR DATE DAY DEALLOCATE
    DECIMAL DECLARE DEFAULT DEFERRABLE DEFERRED DELETE DESC DESCRIBE DESCRIPTOR DIAGNOSTICS DISCONNECT DISTINCT DOMAIN
    DOUBLE DROP ELSE END END-EXEC ESCAPE EXCEPT EXCEPTION EXEC EXECUTE EXISTS EXTERNAL EXTRACT FALSE FETCH FIRST FLOAT
    FOR FOREIGN FOUND FROM FULL GET GLOBAL GO GOTO GRANT GROUP HAVING HOUR IDENTITY IMMEDIATE IN INDICATOR INITIALLY
    INNER INPUT INSENSITIVE INSERT INT INTEGER INTERSECT INTERVAL INTO IS ISOLATION JOIN KEY LANGUAGE LAST LEADING LEFT
    LEVEL LIKE LOCAL LOWER MATCH MAX MIN MINUTE MODULE MONTH NAMES NATIONAL NATURAL NCHAR NEXT NO NOT NULL NULLIF
    NUMERIC OCTET_LENGTH OF ON ONLY OPEN OPTION OR ORDER OUTER OUTPUT OVERLAPS PAD PARTIAL POSITION PRECISION PREPARE
    PRESERVE PRIMARY PRIOR PRIVILEGES PROCEDURE PUBLIC READ REAL REFERENCES RELATIVE RESTRICT REVOKE RIGHT ROLLBACK ROWS
    SCHEMA SCROLL SECOND SECTION SELECT SESSION SESSION_USER SET SIZE SMALLINT SOME SPACE SQL SQLCODE SQLERROR SQLSTATE
    SUBSTRING SUM SYSTEM_USER TABLE TEMPORARY THEN TIME TIMESTAMP TIMEZONE_HOUR TIMEZONE_MINUTE TO TRAILING TRANSACTION
    TRANSLATE TRANSLATION TRIM TRUE UNION UNIQUE UNKNOWN UPDATE UPPER USAGE USER USING VALUE VALUES VARCHAR VARYING VIEW
    WHEN WHENEVER WHERE WITH WORK WRITE YEAR ZONE
""")
"""The words ADQL takes over from SQL-92."""

ADQL_RESERVED = words_of("""
    ABS ACOS AREA ASIN ATAN ATAN2 BIGINT BOX CEILING CENTROID CIRCLE CONTAINS COORD1 COORD2 COORDSYS COS COT DEGREES
    DISTANCE EXP FLOOR ILIKE INTERSECTS IN_UNIT LOG LOG10 MOD OFFSET PI POINT POLYGON POWER RADIANS RAND REGION ROUND
    SIN SQRT TAN TOP TRUNCATE
""")
"""The words ADQL 2.1 adds."""

NEW_IN_2_1 = frozenset({"BIGINT", "ILIKE", "IN_UNIT", "OFFSET"})
"""Reserved in ADQL 2.1, ordinary identifiers in ADQL 2.0."""

FUNCTIONS = (ADQL_RESERVED - {"BIGINT", "ILIKE", "OFFSET", "TOP"}) | {"COALESCE", "LOWER", "UPPER"}
"""Reserved words that name a function written ``WORD(argument, ...)``."""

AGGREGATES = frozenset({"AVG", "COUNT", "MAX", "MIN", "SUM"})

CAST_TARGETS = (
    "BIGINT", "CHAR", "CIRCLE", "DOUBLE PRECISION", "INTEGER", "POINT", "POLYGON", "REAL", "SMALLINT", "TIMESTAMP",
    "VARCHAR",
)  # fmt: skip
"""The types CAST knows (section 4.7)."""

CAST_INSTEAD: Mapping[str, str] = {
    "INT": "INTEGER",
    "LONG": "BIGINT",
    "FLOAT": "REAL or DOUBLE PRECISION",
    "DOUBLE": "DOUBLE PRECISION",
    "NUMERIC": "DOUBLE PRECISION",
    "DECIMAL": "DOUBLE PRECISION",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHARACTER": "CHAR or VARCHAR",
    "DATE": "TIMESTAMP",
    "DATETIME": "TIMESTAMP",
    "BOOLEAN": "INTEGER",
}
"""What to write for types of other languages."""

LANGUAGES = ("ADQL-2.0", "ADQL-2.1")


def language_named(name: str) -> str:
    """The version of the language that TAP's parameter LANG names: ``ADQL`` (the newest) or ``ADQL-<version>``.

    Case does not matter. Raises ``UsageFault`` naming an unknown language.
    """
    folded = name.strip().upper()
    if folded == "ADQL":
        return LANGUAGES[-1]
    if folded in LANGUAGES:
        return folded
    raise UsageFault(f'The query language "{name}" is not known here.', f"Use ADQL, {' or '.join(LANGUAGES)}.")


def _reserved(without: frozenset[str]) -> Mapping[str, str]:
    return {word: word for word in SQL_RESERVED | ADQL_RESERVED if word not in without}


RESERVED: Mapping[str, Mapping[str, str]] = {
    "ADQL-2.0": _reserved(NEW_IN_2_1),
    "ADQL-2.1": _reserved(frozenset()),
}
"""Per language the reserved words, upper case, each mapped to itself (one shared string per word)."""


def is_reserved(word: str, language: str = LANGUAGES[-1]) -> bool:
    """True if ``word``, in whatever case, may not be an undelimited identifier."""
    return word.upper() in RESERVED[language]

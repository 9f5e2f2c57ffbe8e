"""Reading what the versions of a schema change, from the facts beside its description (see ``versions``)::

    versions:
      - version: 2
        tables:
          star:
            rename: {vt_mag: mag_vt}     # the old name is still understood
            hide: [field_id]             # no longer in * and TAP_SCHEMA, still queryable
            express:                     # columns given by those before them
              - name: mag_vt_milli       # described like any column of a Felis document, and:
                datatype: float
                ivoa:unit: mmag
                description: Magnitude in VT, in thousandths.
                as: vt_mag * 1000        # an ADQL expression
                replaces: [vt_mag]       # what is shown no more; with none the column is new
            move:                        # to another table with one row, if any, for each row there
              - column: brightest_id
                to: field
                by: {field_id: field_id} # its columns: the columns here that are the key
                name: brightest          # its name there; the same if left out

Every column of the version before is shown, renamed, replaced, moved or hidden: nothing can be left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archive.descriptions import describe_column
from archive.documents import Block, near
from archive.felis import read_column
from archive.tables import Schema, Table
from archive.versions import Change, Express, Hide, Move, Rename, Version


def read_versions(schema: Schema, facts: Block, *, thorough: bool) -> tuple[Version, ...]:
    """The versions that ``facts`` tell of; everything wrong is reported through the block."""
    reader = _Reader(schema, thorough)
    found: list[Version] = []
    for number, block in enumerate(facts.blocks("versions"), start=2):
        said = block.whole("version")
        if said != number:
            block.wrong("version", f"versions count up by one: here 'version' must be {number}, not {said}.")
        found.append(Version(number, tuple(reader.changes(block.block("tables")))))
        block.close()
    return tuple(found)


class _Names:
    """The columns a table shows while versions are read, by the names they were stored under; and all it ever used."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.shown: dict[str, str | None] = {column.name: column.name for column in table.columns}
        self.used = {name.lower() for name in self.shown}
        self.going: set[str] = set()  # shown still, but not after the version that is being read

    def add(self, name: str, stored: str | None = None) -> None:
        self.shown[name] = stored
        self.used.add(name.lower())

    def leave(self) -> None:
        """End of a version: what was replaced or moved is gone."""
        for name in self.going:
            del self.shown[name]
        self.going = set()

    def is_key(self, columns: list[str]) -> bool:
        """Whether no two rows of the table have the same values in these columns."""
        stored = {self.shown[column] for column in columns}
        keys = (self.table.primary_key, *self.table.unique)
        return any(key and set(key) == stored for key in keys)


class _Reader:
    def __init__(self, schema: Schema, thorough: bool) -> None:
        self._names = {table.name: _Names(table) for table in schema.tables}
        self._thorough = thorough

    def changes(self, tables: Block | None) -> Iterator[Change]:
        """What one version changes."""
        for name in tables or ():
            entry = tables.block(name) if tables else None
            if name not in self._names:
                if tables:
                    tables.wrong(name, f"there is no table '{name}'.", near(name, self._names))
                continue
            if entry is not None:
                entry.about(table=name)
                yield from self._of_table(self._names[name], entry)
                entry.close()
        for names in self._names.values():
            names.leave()

    def _of_table(self, names: _Names, entry: Block) -> Iterator[Change]:
        before = dict(names.shown)  # expressions and moves speak of the version before
        yield from self._expressed(names, before, entry)
        yield from self._moved(names, before, entry)
        yield from self._renamed(names, entry)
        yield from self._hidden(names, entry)

    def _renamed(self, names: _Names, entry: Block) -> Iterator[Change]:
        renames = entry.block("rename")
        for old in renames or ():
            new = renames.text(old, required=True) if renames else None
            if self._is_shown(names, old, "rename", entry) and new is not None and self._is_free(names, new, entry):
                names.add(new, names.shown.pop(old))
                yield Rename(names.table.name, old, new)

    def _hidden(self, names: _Names, entry: Block) -> Iterator[Change]:
        for column in entry.texts("hide"):
            if not self._is_shown(names, column, "hide", entry):
                continue
            if len(names.shown) - len(names.going) == 1:
                entry.wrong("hide", f"'{column}' is the last column shown.", "A table shows one column at least.")
            else:
                del names.shown[column]
                yield Hide(names.table.name, column)

    def _expressed(self, names: _Names, before: Mapping[str, str | None], entry: Block) -> Iterator[Change]:
        for block in entry.blocks("express"):
            expression, replaces = block.text("as", required=True), block.texts("replaces")
            felis = read_column(block, names.table.name)
            for old in replaces:
                if old not in before:
                    block.wrong("replaces", f"'{old}' is no column shown by the version before.", near(old, before))
            if felis is None or expression is None or not self._is_free(names, felis.name, block):
                continue
            column = describe_column(felis, block.problems, thorough=self._thorough)
            names.add(column.name)
            names.going |= before.keys() & set(replaces)
            yield Express(names.table.name, column, expression, tuple(old for old in replaces if old in before))

    def _moved(self, names: _Names, before: Mapping[str, str | None], entry: Block) -> Iterator[Change]:
        for block in entry.blocks("move"):
            column, to = block.text("column", required=True), block.text("to", required=True)
            new = block.text("name") or column
            keys = block.block("by")
            by = tuple((there, keys.text(there, required=True) or "") for there in keys) if keys else ()
            block.close()
            if column is None or to is None or new is None:
                continue
            if self._can_move(names, before, column, to, by, block) and self._is_free(self._names[to], new, block):
                self._names[to].add(new)
                names.going.add(column)
                yield Move(names.table.name, column, to, new, by)

    def _can_move(
        self,
        names: _Names,
        before: Mapping[str, str | None],
        column: str,
        to: str,
        by: tuple[tuple[str, str], ...],
        block: Block,
    ) -> bool:
        if column not in before or column in names.going:
            block.wrong("column", f"'{column}' is no column shown by the version before.", near(column, before))
        elif to not in self._names or to == names.table.name:
            block.wrong("to", f"'{to}' is no other table of this schema.", near(to, self._names))
        elif unknown := [there for there, _ in by if there not in self._names[to].shown]:
            block.wrong("by", f"'{unknown[0]}' is no column of '{to}'.", near(unknown[0], self._names[to].shown))
        elif unknown := [here for _, here in by if here not in before]:
            block.wrong("by", f"'{unknown[0]}' is no column of '{names.table.name}'.", near(unknown[0], before))
        elif not names.is_key([here for _, here in by]):
            block.wrong(
                "by",
                f"'by' must name the whole primary key of '{names.table.name}', or columns that are unique there.",
                "Else a row could find several values.",
            )
        else:
            return True
        return False

    def _is_shown(self, names: _Names, column: str, key: str, entry: Block) -> bool:
        if column in names.shown and column not in names.going:
            return True
        entry.wrong(key, f"'{column}' is no column shown by the version before.", near(column, names.shown))
        return False

    def _is_free(self, names: _Names, name: str, entry: Block) -> bool:
        if name.lower() not in names.used:
            return True
        entry.wrong(
            "rename" if "rename" in entry else None,
            f"'{name}' already is or was the name of a column here.",
            "A name never means two things.",
        )
        return False

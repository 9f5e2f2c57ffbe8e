"""Run by alembic for each migration, on the connection and for the layout that it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

from archive.ledger.layouts import Layout

_given = context.config.attributes
_layout: Layout = _given["layout"]


def _tell(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:
    if step.is_upgrade and not step.is_stamp:
        _given["progress"](int(str(step.up_revision_id)))


context.configure(
    connection=_given["connection"],
    target_metadata=_layout.metadata,
    version_table=_layout.versions,
    on_version_apply=_tell,
)
with context.begin_transaction():
    context.run_migrations()

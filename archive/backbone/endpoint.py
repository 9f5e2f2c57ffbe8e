"""``Endpoint``: one site at work, its settings, ledger, store and engine together."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Self

from archive.access import adopt
from archive.backbone.opening import MAIN, open_stores
from archive.config import Config
from archive.ledger import Ledger, Site, inventory
from archive.ledger import site as sites
from archive.ledger.processes import Attendance

if TYPE_CHECKING:
    from archive.engine.contract import Engine


class Endpoint:
    """What the verbs of an archive work on. Open one for each process; close it at the end."""

    def __init__(self, config: Config, ledger: Ledger, engine: Engine | None = None) -> None:
        self.config = config
        self.ledger = ledger
        self.stores = open_stores(config)
        self.store = self.stores[MAIN]
        self._engine = engine

    @classmethod
    def open(cls, config: Config) -> Endpoint:
        """The archive at ``config.home``.

        Raises:
            NotFound: there is none.
        """
        return cls(config, Ledger.open(config.ledger_url))

    @classmethod
    def create(cls, config: Config, site: Site) -> Endpoint:
        """Make the archive at ``config.home``; one that is there is kept and gets these facts of its site."""
        config.home.mkdir(parents=True, exist_ok=True)
        open_stores(config)[MAIN].prepare()
        config.editions.mkdir(exist_ok=True)
        ledger = Ledger.create(config.ledger_url)
        with ledger.write() as transaction:
            sites.write_site(transaction, site)
            adopt(transaction)
        return cls(config, ledger)

    @cached_property
    def engine(self) -> Engine:
        """The engine that holds the editions, opened at first use."""
        if self._engine is not None:
            return self._engine
        from archive.engine.opening import open_engine  # only verbs that need it pay for it

        return open_engine(self.config)

    @cached_property
    def site(self) -> Site:
        return self.ledger.site()

    def uri(self, path: str) -> str:
        """The name for ever of a file that is registered first at this endpoint, under ``path`` in its store."""
        return self.site.uri(path)

    def attend(self, role: str) -> Attendance:
        return self.ledger.attend(role, self.config.heartbeat)

    def tend_inventory(self, *, always: bool = False) -> None:
        """Make the editions of tables over the ledger anew if so much changed that queries would notice, or always."""
        if self.ledger.is_on_server:
            return
        with self.ledger.read() as transaction:
            few = inventory.count_changes(transaction) <= inventory.MOST
        if always or not few:
            from archive.inventory import compact  # only verbs that need it pay for it

            compact(self.ledger, self.engine, self.config.editions, self.config.grace)

    def close(self) -> None:
        if "engine" in self.__dict__:
            self.engine.close()
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

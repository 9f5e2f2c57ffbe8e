"""Giving up: a person declares files lost, with a reason. Nothing in the program does so by itself."""

from __future__ import annotations

from collections.abc import Sequence

from archive.backbone.endpoint import Endpoint
from archive.faults import NotFound, UsageFault
from archive.ledger import files, losses, replicas
from archive.ledger.replicas import Has


def declare(endpoint: Endpoint, uris: Sequence[str], *, reason: str, dry_run: bool = False) -> tuple[str, ...]:
    """Declare files lost; returns those that were not before. What is known of them stays, and so do their names.

    The same bytes are welcome under the same names at any time: then they are not lost any more.

    Raises:
        NotFound: one of them is not registered; nothing is declared.
        UsageFault: no reason is given, or one of them has a good copy or was retracted.
    """
    if not reason.strip():
        raise UsageFault("No reason is given.", 'Say why: --reason "...".')
    with endpoint.ledger.write(reason=reason) as transaction:
        found = files.find(transaction, uris)
        for uri in uris:
            if uri not in found:
                raise NotFound(f"{uri}: no such file is registered.", "Write its whole URI: archive://...")
            if found[uri].retracted is not None:
                raise UsageFault(f"{uri} was retracted.", "It counts as never delivered, not as lost.")
            copies = replicas.of(transaction, [found[uri].id])[found[uri].id]
            if any(copy.has is Has.PRESENT for copy in copies):
                raise UsageFault(f"{uri} has a good copy here.", "Only what nobody has is lost; see 'archive verify'.")
        known = losses.are(transaction, [each.id for each in found.values()])
        new = [uri for uri in dict.fromkeys(uris) if found[uri].id not in known]
        for uri in () if dry_run else new:
            losses.declare(transaction, found[uri].id, uri, reason)
    return tuple(new)

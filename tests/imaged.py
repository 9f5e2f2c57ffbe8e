"""A small archive of images and what they were made from, for the tests of what one does with images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.test import Client

from archive.app import assemble, kept
from archive.backbone import gathering
from archive.backbone.amendments import retract
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Terms
from archive.engine.contract import Engine
from archive.engine.opening import open_engine
from archive.ledger import grants, tokens
from archive.ledger.site import publisher_did
from archive.serving import Serving
from tests.archives import make
from tests.faces import Scripted
from tests.observations import BIAS, DIFFERENCE, LSST, TAN, image

IMAGES = Path(__file__).parent / "data" / "images"
PLACE = "archive://archive.test/sp_test/"
LATER = "2999-01-01T00:00:00.000000Z"


@dataclass
class Imaged:
    """An archive, somebody who asks it, and the tokens there are."""

    endpoint: Endpoint
    client: Client
    folder: Path
    tokens: dict[str, str]
    engine: Engine | None = None

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
        self.endpoint.close()

    def add(self, kind: str, path: str, content: bytes, public_from: str | None = None, **given: str) -> str:
        """Ingest a file as ``sp_test/<path>``, which has a collection and a name; gives its URI."""
        collection, _, name = path.rpartition("/")
        source = self.folder / name
        source.write_bytes(content)
        terms = Terms(kind, "sp_test", collection, given, {"*": "not told"}, public_from)
        done = ingest(self.endpoint, gathering.copied([source], terms))
        assert done.refused == (), done.refused
        return f"{PLACE}{path}"

    def bearing(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}


def imaged(folder: Path, descriptions: Path, *, asked: bool = False, **settings: Any) -> Imaged:
    """An archive without files yet; ``asked`` if it answers queries too."""
    endpoint = make(folder / "home", descriptions, reserve=0, **settings)
    engine = open_engine(endpoint.config) if asked else None
    serving = Scripted() if engine is None else Serving(endpoint.config, endpoint.ledger, engine)
    with endpoint.ledger.write() as transaction:
        made = {}
        for role in ("reader", "producer"):
            grants.add(transaction, f"the {role}", role)
            made[role] = tokens.create(transaction, f"the {role}", role)
    return Imaged(endpoint, Client(assemble(serving, others=kept(endpoint))), folder, made, engine)


def filled(archive: Imaged) -> Mapping[str, str]:
    """Add images of every kind; gives their URIs by short names."""
    found = {
        f"gc_{band}": archive.add("coadd", f"2mass/gc_2mass_{band}.fits", real(f"gc_2mass_{band}"), band=band.upper())
        for band in "jhk"
    }
    found["raw"] = archive.add("raw_image", "raw/raw.fits", image(LSST | TAN))
    found["bias"] = archive.add("calibration", "calib/bias.fits", image(BIAS))
    made_from = {"raw": found["raw"], "calibration": found["bias"]}
    processed = {key: value for key, value in DIFFERENCE.items() if key not in ("SCIENCE", "TEMPLATE", "CONVOLVE")}
    found["processed"] = archive.add("processed_image", "processed/processed.fits", image(processed), **made_from)
    template = "archive://rubin.example/dr1/template/9813-40.fits"
    inputs = {"science": found["processed"], "template": template}
    found["difference"] = archive.add("difference_image", "difference/d.fits", image(DIFFERENCE), **inputs)
    found["secret"] = archive.add("raw_image", "raw/secret.fits", image(LSST | TAN | {"OBSID": "secret"}), LATER)
    found["notes"] = archive.add("other", "notes/ü b.txt", b"notes").replace("ü b", "%C3%BC%20b")
    found["gone"] = archive.add("other", "notes/gone.txt", b"gone")
    retract(archive.endpoint, [found["gone"]], by="somebody", reason="a mistake")
    return found


def real(name: str) -> bytes:
    """An image of the sample data."""
    return (IMAGES / f"{name}.fits").read_bytes()


def did(uri: str) -> str:
    return publisher_did(uri)

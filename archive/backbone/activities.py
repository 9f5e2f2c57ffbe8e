"""By which activity files were made: as their deliverer tells it in JSON, as their headers tell it, or our own loads.

Whoever delivers files made by a pipeline says so with ``archive ingest --activity FILE``: a JSON object with ``name``
and, where they are known, ``id``, ``software``, ``version``, ``start_time``, ``stop_time`` (ISO 8601, UTC), ``agent``,
``comment``, ``parameters`` (an object) and ``used`` (objects with ``role`` and ``entity``, a URI).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from archive import __version__
from archive.backbone.examination import facts_of
from archive.documents import near
from archive.faults import UsageFault
from archive.ledger.activities import SCHEME, Activity, Made, Told, key_of
from archive.ledger.database import now, stamp
from archive.ledger.events import Json
from archive.ledger.products import Product
from archive.ledger.provenance import DELIVERY

_TEXTS = ("name", "id", "software", "version", "agent", "comment")
_TIMES = ("start_time", "stop_time")
_KEYS = (*_TEXTS, *_TIMES, "parameters", "used")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,200}")
_REMEDY = "docs/provenance.md tells what an activity is told by."


def read(text: str, authority: str, where: str) -> Activity:
    """The activity that a deliverer tells of in JSON; ``where`` names the text in messages.

    Without ``id`` it is called by its content, so the same text always means the same activity.

    Raises:
        UsageFault: it is not what is described above; all that is wrong is told.
    """
    try:
        told = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageFault(f"{where} is no JSON: {error.msg} in line {error.lineno}.", _REMEDY) from None
    if not isinstance(told, dict):
        raise UsageFault(f"{where} is no JSON object.", _REMEDY)
    wrong = list(_wrong(told))
    if wrong:
        raise UsageFault(f"{where}: {'; '.join(wrong)}.", _REMEDY)
    values: dict[str, Any] = {name: told.get(name) for name in _TEXTS if name != "id"}
    values |= {name: None if told.get(name) is None else _moment(told[name]) for name in _TIMES}
    parameters = {name: value if isinstance(value, str) else json.dumps(value) for name, value in _items(told)}
    used = tuple(sorted((each["role"], each["entity"]) for each in told.get("used", ())))
    facts: dict[str, Json] = {**values, "parameters": parameters, "used": [list(pair) for pair in used]}
    key = told.get("id") or key_of(facts)
    return Activity(uri=f"{SCHEME}{authority}/{key}", told=Told.DELIVERER, parameters=parameters, used=used, **values)


def _items(told: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    return list(told.get("parameters", {}).items())


def _wrong(told: Mapping[str, Any]) -> list[str]:
    wrong = [f"'{key}' is not known. {near(key, _KEYS)}".strip().rstrip(".") for key in told if key not in _KEYS]
    wrong += [f"'{key}' is no text" for key in _TEXTS if told.get(key) is not None and not _is_text(told[key])]
    wrong += [f"'{key}' is no time" for key in _TIMES if told.get(key) is not None and _moment(told[key]) is None]
    if "name" not in told:
        wrong.append("'name' is missing")
    if _is_text(told.get("id")) and not _ID.fullmatch(told["id"]):
        wrong.append("'id' may have letters, digits and . _ : / + -")
    if not isinstance(told.get("parameters", {}), dict):
        wrong.append("'parameters' is no object")
    used = told.get("used", [])
    if not isinstance(used, list) or not all(map(_is_use, used)):
        wrong.append("'used' is no list of objects with 'role' and 'entity', a URI such as archive://...")
    return wrong


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_use(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {"role", "entity"}:
        return False
    return all(map(_is_text, value.values())) and "://" in value["entity"]


def _moment(value: object) -> str | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return stamp(found if found.tzinfo else found.replace(tzinfo=UTC))


def of_product(product: Product, authority: str) -> Activity | None:
    """The activity that a product's own metadata tell of; None where they tell neither inputs nor software."""
    if not product.inputs and "software" not in product.metadata:
        return None
    facts = facts_of({name: product.metadata[name] for name in _HEADER if name in product.metadata})
    told = {name: fact.value for name, fact in facts.items() if fact.value is not None}
    if not product.inputs and "software" not in told:
        return None
    parameters: dict[str, str] = {name: str(told[name]) for name in _CONFIGURATION if name in told}
    if isinstance(told.get("processing_params"), Mapping):
        record = cast("Mapping[str, Json]", told["processing_params"])
        parameters |= {name: str(value) for name, value in record.items()}
    values: dict[str, Any] = {
        "name": f"making of a {product.type.replace('_', ' ')}",
        "software": _text(told.get("software")),
        "version": _text(told.get("software_version")),
        "stop_time": _moment(told["created_at"]) if "created_at" in told else None,
    }
    used = tuple(sorted(set(product.inputs)))
    key = key_of({**values, "parameters": parameters, "used": [list(pair) for pair in used]})
    return Activity(
        uri=f"{SCHEME}{authority}/header/{key}", told=Told.HEADER, parameters=parameters, used=used, **values
    )


def doings(
    made: Mapping[int, Product], given: Mapping[int, Activity | None], authority: str
) -> list[tuple[Activity, Made]]:
    """By which activities products (by their numbers) were made: by those given, else by what their headers tell."""
    found: dict[str, tuple[Activity, dict[int, str | None]]] = {}
    for number, product in made.items():
        activity = given.get(number) or of_product(product, authority)
        if activity is not None:
            found.setdefault(activity.uri, (activity, {}))[1][number] = product.type
    return list(found.values())


_CONFIGURATION = ("config_hash", "run_collection")

_HEADER = ("software", "software_version", "config_hash", "run_collection", "created_at", "processing_params")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def of_load(key: str, authority: str, agent: str, begun: datetime, table: str, deliveries: Sequence[str]) -> Activity:
    """Our own work of making parts of ``table`` from delivered files (their URIs)."""
    return Activity(
        uri=f"{SCHEME}{authority}/load/{key}",
        name=f"loading of {table}",
        told=Told.ARCHIVE,
        start_time=stamp(begun),
        stop_time=now(),
        software="archive",
        version=__version__,
        agent=agent,
        parameters={"table": table},
        used=tuple((DELIVERY, uri) for uri in deliveries),
    )

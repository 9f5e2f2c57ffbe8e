"""Lineages for programs: PROV-JSON (W3C Member Submission, 24 April 2013), with roles and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archive.ledger.activities import SCHEME, Activity
from archive.ledger.provenance import Entity, Lineage

_FILES = "archive://"
_PREFIXES = {"prov": "http://www.w3.org/ns/prov#", "voprov": "http://www.ivoa.net/documents/ProvenanceDM/voprov#"}


def prov_json(lineage: Lineage) -> dict[str, Any]:
    """The document: entities, activities, agents, and what was used, generated, derived and associated.

    Names are qualified: ``a1:dr1/raw/x.fits`` with a prefix for each authority.
    """
    names = _Names()
    document: dict[str, Any] = {"entity": {names[uri]: _entity(each) for uri, each in lineage.entities.items()}}
    document["activity"] = {names[uri]: _activity(each) for uri, each in lineage.activities.items()}
    agents = sorted({each.agent for each in lineage.activities.values() if each.agent})
    document["agent"] = {f"_:agent{number}": {"prov:label": name} for number, name in enumerate(agents, start=1)}
    document["used"] = _numbered(
        "u",
        [
            {"prov:activity": names[uri], "prov:entity": names[entity], "prov:role": role}
            for uri, activity in lineage.activities.items()
            for role, entity in activity.used
            if entity in lineage.entities
        ],
    )
    document["wasGeneratedBy"] = _numbered(
        "g", [{"prov:entity": names[uri], "prov:activity": names[by]} for uri, by in sorted(lineage.made_by.items())]
    )
    document["wasDerivedFrom"] = _numbered("d", [_derivation(names, each) for each in lineage.derivations])
    document["wasAssociatedWith"] = _numbered(
        "a",
        [
            {"prov:activity": names[uri], "prov:agent": f"_:agent{agents.index(activity.agent) + 1}"}
            for uri, activity in lineage.activities.items()
            if activity.agent
        ],
    )
    return {"prefix": {**_PREFIXES, **names.prefixes}, **{key: value for key, value in document.items() if value}}


class _Names:
    """Qualified names for URIs."""

    def __init__(self) -> None:
        self.prefixes: dict[str, str] = {}

    def __getitem__(self, uri: str) -> str:
        scheme, mark, rest = uri.partition("://")
        authority, slash, path = rest.partition("/")
        space = f"{scheme}{mark}{authority}{slash}"
        letter = {_FILES: "file", SCHEME: "activity"}.get(f"{scheme}{mark}", "other")
        for prefix, known in self.prefixes.items():
            if known == space:
                return f"{prefix}:{path}"
        number = sum(1 for prefix in self.prefixes if prefix.startswith(letter))
        prefix = f"{letter}{number or ''}"
        self.prefixes[prefix] = space
        return f"{prefix}:{path}"


def _entity(entity: Entity) -> dict[str, Any]:
    told = {"prov:type": entity.type, "voprov:release": entity.release, "voprov:size": entity.size}
    return {key: value for key, value in told.items() if value is not None} | {"voprov:presence": str(entity.presence)}


def _activity(activity: Activity) -> dict[str, Any]:
    told = {
        "prov:label": activity.name,
        "prov:startTime": activity.start_time,
        "prov:endTime": activity.stop_time,
        "voprov:software": activity.software,
        "voprov:version": activity.version,
        "voprov:comment": activity.comment,
        "voprov:parameters": dict(activity.parameters) or None,
        "voprov:told": str(activity.told),
    }
    return {key: value for key, value in told.items() if value is not None}


def _derivation(names: _Names, each: Any) -> dict[str, Any]:
    told = {"prov:generatedEntity": names[each.product], "prov:usedEntity": names[each.source], "prov:role": each.role}
    return told | ({"prov:activity": names[each.activity]} if each.activity else {})


def _numbered(letter: str, relations: list[dict[str, Any]]) -> Mapping[str, dict[str, Any]]:
    return {f"_:{letter}{number}": relation for number, relation in enumerate(relations, start=1)}

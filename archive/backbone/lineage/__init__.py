"""Provenance to be looked at: as a picture, and in the form that W3C PROV gave it for programs."""

from archive.backbone.lineage.exchange import prov_json
from archive.backbone.lineage.graph import Graph, graph_of, short
from archive.backbone.lineage.picture import svg

__all__ = ["Graph", "graph_of", "prov_json", "short", "svg"]

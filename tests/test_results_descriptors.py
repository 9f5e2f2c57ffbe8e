"""Service descriptors, as the schema of VOTable and pyvo have them."""

from __future__ import annotations

import io
from pathlib import Path

import astropy.io.votable
import pytest
from astropy.io.votable import parse
from lxml import etree
from pyvo.dal import TAPResults

from archive.columns import Column, Datatype
from archive.results import Envelope
from archive.results.descriptors import Input, Service, datalink, descriptor, linked
from archive.results.document import field_ids
from tests.results_cases import D, result_of, written


def test_the_descriptor_of_datalink_is_found_by_pyvo() -> None:
    columns = (Column("obs publisher did", D.CHAR, "*", ucd="meta.ref.ivoid"),)
    envelope = Envelope(resources=(datalink("http://localhost/datalink/links", field_ids(columns)[0]),))
    for _ in range(2):  # an envelope serves many answers
        document = written(result_of(columns, [["ivo://a/b?c"]]), "votable", envelope)
        results = TAPResults(parse(io.BytesIO(document)))
        service = results.get_adhocservice_by_ivoid("ivo://ivoa.net/std/DataLink#links-1.1")
        assert service.ID == "datalink-links"
        query = {param.name: param.ref for group in service.groups for param in group.entries}
        assert query == {"ID": "obs_publisher_did"}


def test_a_result_with_identifiers_of_datasets_describes_their_links() -> None:
    did = Column("x", D.CHAR, "*", utype="obscore:Curation.publisherDID")
    other = Column("X", D.CHAR, "*", ucd="meta.ref.ivoid")
    assert linked((other,), "http://localhost/links") == ()
    (found,) = linked((other.named("x"), did), "http://localhost/links")
    assert found.xpath(".//*[@name='ID']/@ref") == ["x_"]
    assert found.xpath(".//*[@name='accessURL']/@value") == ["http://localhost/links"]


@pytest.mark.parametrize("this", [True, False])
def test_descriptors_are_valid(this: bool) -> None:
    inputs = (
        Input("ID", ref="x", ucd="meta.id;meta.main"),
        Input("RESPONSEFORMAT", value="application/x-votable+xml"),
        Input("BAND", Datatype.DOUBLE, "2", xtype="interval", unit="m", least="1e-7", most="2e-6"),
        Input("POL", options=("I", "Q"), description="Polarisation & more"),
    )
    service = Service(
        "http://localhost/sync?a=1&b=2",
        inputs,
        identity="soda-sync",
        name="cutout",
        description="Cuts",
        standard_id="ivo://ivoa.net/std/SODA#sync-1.0",
        resource_id="ivo://a/soda",
        content_type="application/fits",
        example_urls=("http://localhost/example",),
        this=this,
    )
    document = written(
        result_of((Column("x", D.CHAR, "*"),), [[]]), "votable", Envelope(resources=(descriptor(service),))
    )
    root = etree.fromstring(document)
    schema = Path(astropy.io.votable.__file__).parent / "data" / "VOTable.v1.4.xsd"
    etree.XMLSchema(file=str(schema)).assertValid(root)
    resource = root.find("{*}RESOURCE[@type='meta']")
    assert resource is not None
    assert resource.get("utype") == ("adhoc:this" if this else "adhoc:service")
    values = {param.get("name"): param.get("value") for param in resource.findall("{*}PARAM")}
    assert values["accessURL"] == "http://localhost/sync?a=1&b=2"
    assert [param.get("name") for param in resource.findall("{*}GROUP[@name='inputParams']/{*}PARAM")] == [
        "ID",
        "RESPONSEFORMAT",
        "BAND",
        "POL",
    ]

"""Small files as members of one: registered each under its own name, read as ranges."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import pytest
from werkzeug.test import Client

from archive.app import assemble
from archive.backbone.bundles import Member, register
from archive.backbone.copies import Copies
from archive.backbone.endpoint import Endpoint
from archive.bearers import Bearers
from archive.datalink.files import FilesFace
from archive.datalink.given import Given
from archive.faults import UsageFault
from tests.archives import make, snapshot
from tests.faces import Scripted

CONTENT = {
    f"notes/{'x' * number} ü/{number}.txt": random.Random(number).randbytes(number * 100) for number in range(0, 200, 7)
}


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    return make(tmp_path / "home", data, reserve=0)


@pytest.fixture
def members(tmp_path: Path) -> list[Member]:
    found = []
    for number, (path, content) in enumerate(CONTENT.items()):
        source = tmp_path / str(number)
        source.write_bytes(content)
        found.append(Member(path, source, "text/plain"))
    return found


def client(endpoint: Endpoint) -> Client:
    given = Given(endpoint.site, endpoint.ledger, Bearers(endpoint.ledger))
    face = FilesFace(given, Copies(endpoint.ledger, endpoint.stores))
    return Client(assemble(Scripted(), others=[("/files", face.blueprint())]))


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_members_are_files(endpoint: Endpoint, members: list[Member]) -> None:
    made = register(endpoint, "bundles/one.tar", members)
    assert list(endpoint.store.paths()) == ["bundles/one.tar"]
    browser = client(endpoint)
    for artifact, (path, content) in zip(made, CONTENT.items(), strict=True):
        assert artifact.size == len(content)
        assert browser.get(f"/files/{path}").data == content
        if content:
            tail = browser.get(f"/files/{path}", headers={"Range": "bytes=-5"})
            assert (tail.status_code, tail.data) == (206, content[-5:])


def test_a_bundle_is_a_tar_file(endpoint: Endpoint, members: list[Member], tmp_path: Path) -> None:
    register(endpoint, "bundles/one.tar", members)
    with endpoint.store.local("bundles/one.tar") as path, tarfile.open(path, "r:") as tar:
        found = {about.name: tar.extractfile(about).read() for about in tar}  # type: ignore[union-attr]
    assert found == CONTENT


def test_damage_of_one_member_is_not_that_of_others(endpoint: Endpoint, members: list[Member]) -> None:
    made = register(endpoint, "bundles/one.tar", members)
    offset = made[5].here.offset
    assert offset is not None
    with (endpoint.config.store / "bundles/one.tar").open("r+b") as file:
        file.seek(offset + 3)
        file.write(b"!")
    browser = client(endpoint)
    answers = [browser.get(f"/files/{path}").status_code for path in CONTENT]
    assert [number for number, status in enumerate(answers) if status != 200] == [5]
    assert browser.get("/files/bundles/one.tar").status_code == 503


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (Member("a/part.parquet", Path(__file__), "application/octet-stream"), "is a Parquet file"),
        (Member("a/part", Path(__file__), "application/vnd.apache.parquet"), "is a Parquet file"),
        (Member("a", Path("nowhere"), "text/plain"), "nowhere cannot be read"),
    ],
)
def test_what_is_not_bundled(endpoint: Endpoint, members: list[Member], member: Member, told: str) -> None:
    before = snapshot(endpoint)
    with pytest.raises(UsageFault, match=told):
        register(endpoint, "bundles/one.tar", [*members, member])
    assert snapshot(endpoint) == before


def test_a_name_that_is_taken_by_other_bytes(endpoint: Endpoint, members: list[Member], tmp_path: Path) -> None:
    register(endpoint, "bundles/one.tar", members)
    before = snapshot(endpoint)
    (tmp_path / "other").write_bytes(b"other")
    taken = Member(members[3].path, tmp_path / "other", "text/plain")
    with pytest.raises(UsageFault, match="is registered with other bytes"):
        register(endpoint, "bundles/two.tar", [taken])
    assert snapshot(endpoint) == before

"""An archive whose files are in a bucket: what it loads, publishes, ingests and gives away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from werkzeug.test import Client

from archive.app import assemble
from archive.backbone import catalogs
from archive.backbone.copies import Copies
from archive.backbone.endpoint import Endpoint
from archive.backbone.gathering import copied
from archive.backbone.ingest import Status, ingest
from archive.backbone.opening import open_stores
from archive.backbone.posix import PosixStore
from archive.backbone.publish import publish
from archive.backbone.receiving import Terms
from archive.backbone.s3 import S3Store
from archive.bearers import Bearers
from archive.config import Config
from archive.datalink.files import FilesFace
from archive.datalink.given import Given
from archive.faults import UsageFault
from archive.query import Question
from archive.serving import Serving
from tests.archives import make, parquet, source
from tests.buckets import BUCKET, KEY, SECRET, Buckets
from tests.faces import Scripted


@pytest.fixture
def buckets(tmp_path: Path) -> Iterator[Buckets]:
    buckets = Buckets(tmp_path / "buckets")
    yield buckets
    buckets.close()


@pytest.fixture
def endpoint(buckets: Buckets, tmp_path: Path, data: Path) -> Endpoint:
    keys = tmp_path / "keys.ini"
    keys.write_text(f"[tests]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    options = f"endpoint={quote(buckets.url)}&credentials={quote(str(keys))}&profile=tests&copy=header"
    return make(tmp_path / "home", data, stores=(f"main=s3://{BUCKET}/archive?{options}",), reserve=0)


@pytest.mark.service
def test_catalogs(endpoint: Endpoint, buckets: Buckets, tmp_path: Path) -> None:
    for first in (1, 21):
        rows = [source(number) for number in range(first, first + 20)]
        catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / f"{first}.parquet", rows)])
    with pytest.raises(UsageFault, match=r"was loaded into sp_test\.source before"):
        catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "again.parquet", [source(21)])])
    assert publish(endpoint, "sp_test").changed == {"sp_test.source": 40}
    serving = Serving(endpoint.config, endpoint.ledger, endpoint.engine)
    result = serving.answer(Question("SELECT COUNT(*) AS n FROM sp_test.source WHERE flux > 10"))
    assert [list(row.values()) for batch in result.batches for row in batch.to_pylist()] == [[30]]
    result.close()
    kept = sorted(path.name for path in buckets.place("archive").rglob("*") if path.is_file())
    assert kept == ["00001.parquet", "00001.parquet", "1.parquet", "21.parquet"]
    assert not (endpoint.config.home / "store").exists()


@pytest.mark.service
def test_files(endpoint: Endpoint, buckets: Buckets, tmp_path: Path) -> None:
    content = b"0123456789" * 300_000
    (tmp_path / "note.txt").write_bytes(content)
    requests = copied([tmp_path / "note.txt"], Terms("other", "sp_test", "notes"))
    for status in (Status.NEW, Status.KNOWN):
        assert ingest(endpoint, requests).counts == {status: 1}
    given = Given(endpoint.site, endpoint.ledger, Bearers(endpoint.ledger))
    face = FilesFace(given, Copies(endpoint.ledger, endpoint.stores))
    client = Client(assemble(Scripted(), others=[("/files", face.blueprint())]))
    url = "/files/sp_test/notes/note.txt"
    assert client.get(url).data == content
    assert client.get(url, headers={"Range": "bytes=-13"}).data == content[-13:]
    (path,) = buckets.place("archive").rglob("note.txt")
    path.write_bytes(content[:-1] + b"!")
    assert client.get(url, headers={"Range": "bytes=0-1"}).status_code == 503
    assert client.get(url).status_code == 503


WRONG = {
    "main": "'main' is no name",
    "Main=file:///a": "is no name for a store",
    "main=file:///a,main=file:///b": "two stores called 'main'",
    "a=ftp://host/b": "does not say where files are",
    "a=file://host/b": "does not say where files are",
    "a=file:relative": "does not say where files are",
    "a=s3:///b": "does not say where files are",
    "a=file:///b?readonyl": "'readonyl' is no option",
    "a=file:///b?region=x": "'region' is no option",
    "a=s3://b?copy=often": "copy is not 'often'",
    "a=s3://b?cached=much": "cached=much is no whole number",
    "a=s3://b?credentials=/nowhere": "/nowhere is no file with the keys of 'default'",
}


@pytest.mark.parametrize("told", WRONG)
def test_a_setting_that_is_wrong(told: str) -> None:
    config = Config.load({"ARCHIVE_STORES": told})
    expected = WRONG[told] if told != "main" else "does not say where files are"
    with pytest.raises(UsageFault, match=expected):
        open_stores(config)


def test_stores_by_their_settings(tmp_path: Path) -> None:
    told = f"old=file://{quote(str(tmp_path))}/%C3%BC?readonly far=s3://bucket/a/b?readonly&checked"
    stores = open_stores(Config.load({"ARCHIVE_STORES": told}, home=tmp_path / "home"))
    assert list(stores) == ["old", "far", "main"]
    main, old = stores["main"], stores["old"]
    assert isinstance(main, PosixStore)
    assert isinstance(old, PosixStore)
    assert (main.root, main.writable) == (tmp_path / "home" / "store", True)
    assert (old.root, old.writable, old.name) == (tmp_path / "ü", False, "old")
    assert isinstance(stores["far"], S3Store)
    assert not stores["far"].writable

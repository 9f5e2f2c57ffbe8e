"""What programs do with images: pyvo follows links and downloads, stilts checks documents, a browser looks."""

from __future__ import annotations

import hashlib
import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pyvo
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from archive.ledger import holdings
from tests.faces import listening
from tests.imaged import Imaged, did, filled, imaged
from tests.test_portal_browser import FLAGS

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Imaged]:
    made = imaged(tmp_path_factory.mktemp("clients"), data, asked=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def uris(archive: Imaged) -> Mapping[str, str]:
    return filled(archive)


@pytest.fixture(scope="module")
def address(archive: Imaged, uris: Mapping[str, str]) -> Iterator[str]:
    with listening(archive.client.application) as url:
        yield url


# --- pyvo -----------------------------------------------------------------------------------------


def check_links(archive: Imaged, found: pyvo.dal.DALResults, expected: set[str]) -> None:
    """Each row leads to its links, and #this of each to bytes with the sha256 that is registered."""
    got = set()
    for links in found.iter_datalinks():
        (this,) = links.bysemantics("#this", include_narrower=False)
        uri = this["ID"].replace("ivo://", "archive://").replace("/files?", "/")
        with archive.endpoint.ledger.read() as transaction:
            held = holdings.find(transaction, uri)
        assert held is not None
        if this["link_authorized"]:
            with urllib.request.urlopen(this["access_url"], timeout=60) as answer:
                assert hashlib.sha256(answer.read()).hexdigest() == held.sha256
        assert len(list(links.bysemantics("#thumbnail", include_narrower=False))) == 1
        got.add(uri)
    assert got == expected


def test_pyvo_follows_links_from_tap(archive: Imaged, uris: Mapping[str, str], address: str) -> None:
    found = pyvo.dal.TAPService(f"{address}/tap").search("SELECT s_ra, obs_publisher_did AS x FROM ivoa.obscore")
    images = {uris[name] for name in ("gc_j", "gc_h", "gc_k", "raw", "processed", "difference", "secret")}
    check_links(archive, found, images)


def test_pyvo_follows_links_from_sia(archive: Imaged, uris: Mapping[str, str], address: str) -> None:
    found = pyvo.dal.SIA2Service(f"{address}/sia2").search(pos=(266.4, -28.93, 0.3))
    check_links(archive, found, {uris[name] for name in ("gc_j", "gc_h", "gc_k")})


def test_pyvo_asks_for_links_itself(uris: Mapping[str, str], address: str) -> None:
    found = pyvo.dal.adhoc.DatalinkResults.from_result_url(
        f"{address}/datalink/links?{urlencode({'ID': did(uris['processed'])})}"
    )
    assert [link["semantics"] for link in found][:2] == ["#this", "#preview"]


# --- stilts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [None, "reader"])
def test_stilts_finds_no_fault_in_links(
    archive: Imaged, uris: Mapping[str, str], stilts: Callable[..., str], tmp_path: Path, role: str | None
) -> None:
    pairs = [("ID", did(uri)) for uri in uris.values()] + [("ID", "nonsense"), ("ID", did(uris["raw"]) + "x")]
    headers = {} if role is None else archive.bearing(role)
    answer = archive.client.get("/datalink/links", query_string=pairs, headers=headers)
    document = tmp_path / "links.vot"
    document.write_bytes(answer.data)
    assert told(stilts("datalinklint", f"votable={document}", "maxrepeat=100")) == []
    assert told(stilts("votlint", f"votable={document}")) == []


@pytest.mark.parametrize("given", ["", "?MAXREC=0", "?MAXREC=-1", "?ID=&ID=x", "?RESPONSEFORMAT=nothing"])
def test_stilts_finds_no_fault_in_links_of_nothing(
    archive: Imaged, stilts: Callable[..., str], tmp_path: Path, given: str
) -> None:
    document = tmp_path / "links.vot"
    document.write_bytes(archive.client.get(f"/datalink/links{given}").data)
    assert told(stilts("votlint", f"votable={document}")) == []


NEW = re.compile(r"E-SMCO-\d+ Unknown predicate '(thumbnail|counterpart)' from core DataLink vocabulary")
"""Terms that the vocabulary has and the copy of it in stilts 3.4 has not yet."""


def told(report: str) -> list[str]:
    """Errors and warnings of a report."""
    found = [line for line in report.splitlines() if line.startswith(("E-", "W-", "F-", "ERROR", "WARNING"))]
    return [line for line in found if not NEW.match(line)]


# --- a browser ------------------------------------------------------------------------------------


@pytest.fixture
def chromium(tmp_path: Path, program: Callable[[str], str]) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = program("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(program("chromedriver")))
    yield driver
    driver.quit()


def test_somebody_looks_for_images(archive: Imaged, uris: Mapping[str, str], address: str, chromium: Any) -> None:
    chromium.get(f"{address}/")
    chromium.find_element(By.LINK_TEXT, "Images").click()
    until(chromium, lambda: len(chromium.find_elements(By.CSS_SELECTOR, ".images li")) == 7)
    chromium.find_element(By.NAME, "pos").send_keys("17:45:40 -28:56:00")
    radius = chromium.find_element(By.NAME, "radius")
    radius.clear()
    radius.send_keys("20", Keys.ENTER)
    until(chromium, lambda: len(chromium.find_elements(By.CSS_SELECTOR, ".images li")) == 3)
    pictures = chromium.find_elements(By.CSS_SELECTOR, ".images img")
    until(chromium, lambda: all(each.get_property("naturalWidth") == 100 for each in pictures))
    last = chromium.find_elements(By.CSS_SELECTOR, ".map a")[-1]
    key = last.get_attribute("data-image")
    ActionChains(chromium).move_to_element(last).perform()
    until(chromium, lambda: "on" in chromium.find_element(By.ID, f"image-{key}").get_attribute("class"))
    assert [each for each in chromium.get_log("browser") if each["level"] == "SEVERE"] == []
    chromium.find_element(By.LINK_TEXT, "What belongs to it").click()
    until(chromium, lambda: "#counterpart" in chromium.page_source)


def until(chromium: webdriver.Chrome, holds: Callable[[], object]) -> None:
    WebDriverWait(chromium, 60).until(lambda _: holds())

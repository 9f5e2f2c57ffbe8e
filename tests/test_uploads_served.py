"""Uploads to a server process: fetched and sent along, in jobs too; hostile ones cost it neither time nor memory."""

from __future__ import annotations

import gzip
import http.server
import io
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo
import requests
from astropy.io import fits
from astropy.table import Table

from tests.e2e.conftest import Site, free_port, wait_for

pytestmark = pytest.mark.service

SIZE = 20_000_000
COUNT = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.t"


class Served(Site):
    """An archive without tables whose server takes small uploads and may fetch them from this machine."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "ARCHIVE_UPLOAD_ROWS": "1000",
            "ARCHIVE_UPLOAD_BYTES": str(SIZE),
            "ARCHIVE_UPLOAD_SECONDS": "3",
            "ARCHIVE_UPLOAD_NETWORKS": "127.0.0.1/32",
        }

    def post(self, upload: str, query: str = COUNT, path: str = "tap/sync", **parts: bytes) -> requests.Response:
        files = {name: (name, io.BytesIO(content)) for name, content in parts.items()}
        given = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv", "UPLOAD": upload}
        return requests.post(f"{self.url}/{path}", data=given, files=files or {"none": b""}, timeout=120)

    def peak(self, process: int) -> int:
        """The most memory, in MB, that any process below the server has had."""
        found = []
        for line in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            status = Path(f"/proc/{line}/status").read_text()
            found += [int(status.split("VmHWM:")[1].split()[0]) // 1024, self.peak(int(line))]
        return max(found, default=0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, int]]:
    folder = tmp_path_factory.mktemp("uploads")
    served = Served(folder / "archive", free_port())
    served.run("init", "--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test")
    command = served.command("serve", "--port", str(served.port), "--workers", "1")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=served.environment(), stdout=log, stderr=log)
    wait_for(served, process, folder / "log")
    yield served, process.pid
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)


@pytest.fixture
def served(running: tuple[Served, int]) -> Served:
    return running[0]


def said(answer: requests.Response) -> str:
    """The message of an error document that is text."""
    assert answer.headers["Content-Type"].startswith("text/plain")
    return answer.text


# --- elsewhere ------------------------------------------------------------------------------------


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Another server: a table, a way round, a large file, and one that never ends its headers."""

    def do_GET(self) -> None:
        match self.path:
            case "/table.csv":
                self._send(b"a\n1\n2\n")
            case "/moved":
                self.send_response(302)
                self.send_header("Location", "/table.csv")
                self.end_headers()
            case "/to-another":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.2:{self.server.server_address[1]}/table.csv")
                self.end_headers()
            case "/large":
                self._send(b"x" * (SIZE + 1))
            case "/drip":
                self._drip()
            case _:
                self.send_error(404)

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def _drip(self) -> None:
        self.send_response(200)
        for _ in range(300):
            self.wfile.write(b"X-Slow: 1\r\n")
            self.wfile.flush()
            if threading.Event().wait(0.1):
                return

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.parametrize("path", ["table.csv", "moved"])
def test_a_table_is_fetched(path: str, served: Served, elsewhere: str) -> None:
    assert served.post(f"t,{elsewhere}/{path}").text.split() == ["n", "2"]


@pytest.mark.parametrize(
    ("place", "status", "words"),
    [
        ("{}/large", 413, "larger than"),
        ("{}/missing", 400, "HTTP status 404"),
        ("{}/to-another", 400, "not fetched from 127.0.0.2"),
        ("{}/drip", 503, "does not answer as it should"),
        ("http://127.0.0.3/x", 400, "not fetched from 127.0.0.3"),
        ("http://[::1]/x", 400, "not fetched from ::1"),
        ("http://169.254.169.254/latest", 400, "not fetched"),
        ("file:///etc/passwd", 400, "cannot be fetched"),
        ("ftp://127.0.0.1/x", 400, "cannot be fetched"),
    ],
)
def test_what_may_not_be_fetched_is_refused(
    place: str, status: int, words: str, served: Served, elsewhere: str
) -> None:
    answer = served.post(f"t,{place.format(elsewhere)}")
    assert answer.status_code == status
    assert words in said(answer)


# --- jobs -----------------------------------------------------------------------------------------


def test_a_job_gets_its_uploads_while_it_is_pending(served: Served, elsewhere: str) -> None:
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.a, TAP_UPLOAD.b, TAP_UPLOAD.c"
    job = served.post("a,param:one", query, "tap/async", one=b"a\n1\n2\n").url
    requests.post(f"{job}/parameters", data={"UPLOAD": "b,param:two"}, files={"two": b"a\n1\n2\n3\n"})
    requests.post(f"{job}/parameters", data={"UPLOAD": f"c,{elsewhere}/table.csv"})
    parameters = requests.get(f"{job}/parameters").text
    assert parameters.count('byReference="true"') == 2
    assert requests.get(f"{job}/parameters/two").content == b"a\n1\n2\n3\n"
    requests.post(f"{job}/phase", data={"PHASE": "RUN"})
    while requests.get(f"{job}/phase").text in ("QUEUED", "EXECUTING"):
        assert requests.get(job, params={"WAIT": "30"}).ok
    assert requests.get(f"{job}/results/result").text.split() == ["n", "12"]


def test_a_job_with_an_upload_that_is_wrong_fails_when_it_runs(served: Served) -> None:
    service = pyvo.dal.TAPService(served.tap)
    job = service.submit_job(COUNT, uploads={"t": Table({"a": np.arange(1001)})})
    job.run().wait(timeout=60)
    assert job.phase == "ERROR"
    assert "has 1,001 rows; at most 1,000 are taken" in " ".join(job._job.errorsummary.message.content.split())
    job.delete()


# --- hostile --------------------------------------------------------------------------------------

HEAD = b'<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="n" datatype="int" arraysize="*"/><DATA>'
TAIL = b"</DATA></TABLE></RESOURCE></VOTABLE>"


def repeated_text() -> bytes:
    once = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int32)), pa.array(["x" * 1_000_000]))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": once}), sink, store_schema=False)
    return bytes(sink.getvalue())


def shared_heap() -> bytes:
    cells = np.array([np.zeros(1_000_000, np.uint8), *([np.zeros(1, np.uint8)] * 999)], dtype=object)
    file = io.BytesIO()
    fits.BinTableHDU.from_columns([fits.Column("v", format="PB()", array=cells)]).writeto(file)
    raw = bytearray(file.getvalue())
    start = raw.index(struct.pack(">ii", 1_000_000, 0))
    for row in range(1000):
        raw[start + 8 * row : start + 8 * row + 8] = struct.pack(">ii", 1_000_000, 0)
    return bytes(raw)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "entities": lambda: b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><VOTABLE>&b;</VOTABLE>',
    "entities in disguise": lambda: b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a',
    "nesting": lambda: b"<a>" * (SIZE // 4),
    "elements": lambda: b"<VOTABLE>" + b"<a/>" * (SIZE // 5),
    "cells": lambda: HEAD + b"<TABLEDATA><TR>" + b"<TD/>" * (SIZE // 6),
    "attributes": lambda: b"<VOTABLE " + b"".join(b'a%d="" ' % number for number in range(SIZE // 14)) + b"/>",
    "false length": lambda: HEAD + b'<BINARY><STREAM encoding="base64">f////w==</STREAM></BINARY>' + TAIL,
    "huge arraysize": lambda: HEAD.replace(b"*", b"4000000000"),
    "columns": lambda: b"," * (SIZE - 1000),
    "gzip bomb": lambda: gzip.compress(b"a\n" * 500_000_000, 1),
    "repeated text": repeated_text,
    "shared heap": shared_heap,
    "header without end": lambda: b"SIMPLE  =                    T".ljust(80) + b"COMMENT".ljust(80) * (SIZE // 90),
    "rows": lambda: b"a\n" + b"1\n" * (SIZE // 3),
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_tables_are_refused_and_memory_stays(attack: str, running: tuple[Served, int]) -> None:
    served, process = running
    assert served.post("t,param:t", t=b"a\n" + b"1\n" * 900).text.split() == ["n", "900"]
    before = served.peak(process)
    answer = served.post("t,param:t", t=HOSTILE[attack]())
    assert answer.status_code in (400, 413)
    assert "The uploaded table t" in said(answer)
    assert served.peak(process) - before < 5 * SIZE / 2**20


def test_more_than_allowed_is_refused_whole(served: Served) -> None:
    answer = served.post("t,param:t", t=b"a\n" + b"1\n" * 1001)
    assert (answer.status_code, "has 1,001 rows; at most 1,000" in said(answer)) == (413, True)
    answer = served.post("t,param:t;u,param:u", t=b"<" + b" " * SIZE, u=b"<" + b" " * SIZE)
    assert (answer.status_code, "The request is too large" in answer.text) == (413, True)
    wide = b"a\n" + (b"x" * (SIZE // 750) + b"\n") * 500
    served_two = served.post("t,param:t;u,param:t", "SELECT COUNT(*) AS n FROM TAP_UPLOAD.u", t=wide)
    assert (served_two.status_code, "table u is larger than" in said(served_two)) == (413, True)


def test_a_body_that_is_cut_short_is_refused(served: Served) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="QUERY"\r\n\r\nSELECT'
    head = "POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400")


def test_capabilities_tell_the_limits(served: Served) -> None:
    service = pyvo.dal.TAPService(served.tap)
    methods = {method.ivo_id.rpartition("-")[2] for method in service.upload_methods}
    assert methods == {"inline", "http", "https"}
    (access,) = [c for c in service.capabilities if c.standardid and c.standardid.lower() == "ivo://ivoa.net/std/tap"]
    assert (access.uploadlimit.default.content, access.uploadlimit.default.unit) == (1000, "row")
    assert (access.uploadlimit.hard.content, access.uploadlimit.hard.unit) == (SIZE, "byte")

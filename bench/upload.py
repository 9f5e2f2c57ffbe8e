"""Claim: 1 000 positions are sent, matched with 1.87 million stars within 1 arcsec and answered within 60 ms (median).

All of Tycho-2 is served by ``archive serve`` with its usual settings. Measured over a kept connection: a request that
does nothing, the upload alone (``SELECT COUNT(*)`` of it), the upload joined on a number and joined by position; as
VOTable BINARY2, TABLEDATA, CSV and Parquet.
"""

from __future__ import annotations

import http.client
import io
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from archive.columns import Column, Datatype
from archive.results import Result, encode, find
from bench.http import DATA, served

ROWS = 1000
ROUNDS = 60
AIM = 60.0  # milliseconds

ALONE = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.mine"
BY_NUMBER = "SELECT m.k, s.ra, s.dec FROM TAP_UPLOAD.mine AS m JOIN ext_tycho2.star AS s ON s.star_id = m.star_id"
BY_POSITION = (
    "SELECT m.k, s.star_id, s.ra, s.dec FROM TAP_UPLOAD.mine AS m JOIN ext_tycho2.star AS s "
    "ON 1 = CONTAINS(POINT(s.ra, s.dec), CIRCLE(m.ra, m.dec, 1.0 / 3600))"
)


def mine() -> pa.Table:
    """Positions of stars drawn from the catalog, each a little off."""
    stars = pq.read_table(DATA, columns=["star_id", "ra", "dec"])
    drawn = stars.take(np.random.default_rng(1).choice(len(stars), ROWS, replace=False))
    return pa.table(
        {
            "k": np.arange(ROWS),
            "star_id": drawn["star_id"].cast(pa.int64()),
            "ra": drawn["ra"].to_numpy() + 1e-5,
            "dec": drawn["dec"].to_numpy(),
        }
    )


def written(rows: pa.Table) -> dict[str, bytes]:
    """The table in each form it may be sent in."""
    kinds = (Datatype.LONG, Datatype.LONG, Datatype.DOUBLE, Datatype.DOUBLE)
    columns = tuple(Column(name, kind) for name, kind in zip(rows.column_names, kinds, strict=True))
    found = {
        name: b"".join(encode(Result(columns, iter(rows.to_batches())), find(name)))
        for name in ("votable/b2", "votable/td")
    }
    text, parquet = io.BytesIO(), io.BytesIO()
    pyarrow.csv.write_csv(rows, text)
    pq.write_table(rows, parquet)
    return found | {"CSV": text.getvalue(), "Parquet": parquet.getvalue()}


def form(query: str, content: bytes) -> bytes:
    """A multipart body with boundary ``b``."""
    fields = {"LANG": "ADQL", "QUERY": query, "UPLOAD": "mine,param:mine"}
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()]
    file = b'--b\r\nContent-Disposition: form-data; name="mine"; filename="mine"\r\n\r\n' + content
    return b"".join(parts) + file + b"\r\n--b--\r\n"


def times(port: int, query: str, content: bytes) -> list[float]:
    """Milliseconds of ``ROUNDS`` requests, after a few that do not count."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body, spent = form(query, content), []
    for _ in range(ROUNDS + 5):
        start = time.perf_counter()
        connection.request("POST", "/tap/sync", body, {"Content-Type": "multipart/form-data; boundary=b"})
        response = connection.getresponse()
        answer = response.read()
        spent.append((time.perf_counter() - start) * 1000)
        if response.status != 200 or b'"ERROR"' in answer:
            raise SystemExit(f"{query}: {answer[:500]!r}")
    connection.close()
    return spent[5:]


def nothing(port: int) -> float:
    """Milliseconds of a request that does nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    spent = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        connection.request("OPTIONS", "/tap/sync")
        connection.getresponse().read()
        spent.append((time.perf_counter() - start) * 1000)
    return median(spent)


def main() -> None:
    """Print medians in milliseconds, and what they are of a request that does nothing."""
    forms = written(mine())
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
        port = server.port
        base = nothing(port)
        print(f"a request that does nothing: {base:.1f} ms")
        for name, query in {"alone": ALONE, "by number": BY_NUMBER, "by position": BY_POSITION}.items():
            for kind, content in forms.items():
                spent = median(times(port, query, content))
                aim = "" if spent <= AIM else f"  beyond the aim of {AIM:g} ms"
                print(f"{name:12} {kind:11} p50 {spent:6.1f} ms  {spent / base:5.1f} x nothing{aim}")


if __name__ == "__main__":
    main()

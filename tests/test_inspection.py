"""Files looked at while they pass by: what they are, whether they are whole, and what is wrong with them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import resource
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from archive.backbone.inspection import Format, HduKind, Inspected, Inspection, inspect
from archive.faults import UsageFault
from tests import observations

IMAGES = Path(__file__).parent / "data" / "images"
BLOCK = 2880
CARD = 80


def look(content: bytes, name: str = "file.fits", *pieces: int) -> Inspected:
    """Inspect ``content``, fed in pieces of these sizes and then of what is left."""
    inspection = Inspection(name)
    at = 0
    for size in pieces:
        inspection.feed(content[at : at + size])
        at += size
    inspection.feed(content[at:])
    return inspection.finish()


def refused(content: bytes, name: str = "file.fits") -> str:
    """What is said of a file that is not taken."""
    with pytest.raises(UsageFault) as fault:
        look(content, name, *[1000] * (min(len(content), 50_000) // 1000))
    assert fault.value.remedy
    assert name in fault.value.message
    return fault.value.message


def table(rows: int = 5) -> fits.BinTableHDU:
    columns = [
        fits.Column("id", "K", array=np.arange(rows)),
        fits.Column("name", "7A", array=np.array(["abc"] * rows)),
        fits.Column("bits", "11X", array=np.zeros((rows, 11), bool)),
        fits.Column("any", "PE()", array=np.array([np.zeros(n, "f4") for n in range(rows)], object)),
    ]
    return fits.BinTableHDU.from_columns(columns, name="STARS")


def many() -> bytes:
    """A file with HDUs of every kind."""
    return observations.packed(
        [
            fits.PrimaryHDU(observations.pixels(3, 5)),
            fits.ImageHDU(observations.pixels(7, 11).astype("f8"), name="SCI"),
            fits.ImageHDU(name="EMPTY"),
            fits.CompImageHDU(observations.pixels(20, 30), name="PACKED"),
            table(),
            fits.TableHDU.from_columns([fits.Column("a", "I6", array=np.arange(9), ascii=True)], name="TEXT"),
        ]
    )


# --- what is found --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.fits")), ids=lambda path: path.stem)
def test_real_images(path: Path) -> None:
    found = inspect(path)
    with fits.open(path) as opened:
        shape = tuple(reversed(opened[0].shape))
        assert list(found.headers[0].items()) == list(fits.getheader(path).items())
    assert (found.format, found.packed, found.media_type) == (Format.FITS, False, "application/fits")
    assert (found.size, found.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert [(hdu.kind, hdu.shape) for hdu in found.hdus] == [(HduKind.IMAGE, shape)]


def test_hdus_of_every_kind() -> None:
    content = many()
    found = look(content)
    kinds = [HduKind.IMAGE, HduKind.IMAGE, HduKind.IMAGE, HduKind.COMPRESSED, HduKind.TABLE, HduKind.ASCII]
    assert [hdu.kind for hdu in found.hdus] == kinds
    assert [hdu.name for hdu in found.hdus] == ["PRIMARY", "SCI", "EMPTY", "PACKED", "STARS", "TEXT"]
    assert [hdu.is_image for hdu in found.hdus] == [True, True, False, True, False, False]
    assert found.hdus[3].shape == (30, 20)
    assert found.rows == 5
    with fits.open(io.BytesIO(content), disable_image_compression=True) as opened:
        for hdu, known in zip(found.hdus, opened, strict=True):
            info = known.fileinfo()
            assert (hdu.start, hdu.data_start) == (info["hdrLoc"], info["datLoc"])
            assert hdu.data_start + -(-hdu.data_size // BLOCK) * BLOCK == info["datLoc"] + info["datSpan"]


def test_random_groups() -> None:
    cards = {"SIMPLE": True, "BITPIX": -32, "NAXIS": 3, "NAXIS1": 0, "NAXIS2": 3, "NAXIS3": 4, "GROUPS": True}
    header = observations.header(cards | {"PCOUNT": 2, "GCOUNT": 6}).tostring().encode("ascii")
    found = look(header + bytes(BLOCK))
    assert found.hdus[0].kind is HduKind.GROUPS
    assert found.hdus[0].data_size == 6 * (2 + 3 * 4) * 4


@given(pieces=st.lists(st.integers(1, 7000), max_size=30))
def test_pieces_of_any_size(pieces: list[int]) -> None:
    content = many()
    whole, broken = look(content), look(content, "file.fits", *pieces)
    assert [str(hdu.header) for hdu in broken.hdus] == [str(hdu.header) for hdu in whole.hdus]
    assert (broken.sha256, broken.rows) == (whole.sha256, whole.rows)


def test_gzip_is_known_by_content() -> None:
    content = observations.image(observations.LSST)
    members = gzip.compress(content[:4000]) + gzip.compress(content[4000:]) + b"\0" * 100
    found = look(members, "raw.fits.gz", 3, 20)
    assert (found.packed, found.format, found.media_type) == (True, Format.FITS, "application/gzip")
    assert found.sha256 == hashlib.sha256(members).hexdigest()
    assert found.hdus[0].header["OBSID"] == "MC_O_20260228_000123"
    assert look(gzip.compress(content), "raw.fits").packed


def _parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"ra": np.arange(1000.0), "dec": np.arange(1000.0)}), stream)
    return stream.getvalue()


def _votable() -> bytes:
    stream = io.BytesIO()
    writeto(from_table(Table({"ra": [1.0, 2.0], "dec": [3.0, 4.0]})), stream)
    return stream.getvalue()


def _csv() -> bytes:
    stream = io.BytesIO()
    pacsv.write_csv(pa.table({"ra": [1, 2, 3], "dec": ['a "b"', "two\nlines", "c,d"]}), stream)
    return stream.getvalue()


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("a.txt", "é" * 200, "c"):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(b"x" * 700))
    return stream.getvalue()


OTHERS: dict[str, tuple[Format, Callable[[], bytes], int]] = {
    "t.parquet": (Format.PARQUET, _parquet, 1000),
    "t.vot": (Format.VOTABLE, _votable, 2),
    "t.csv": (Format.CSV, _csv, 3),
    "t.avro": (Format.AVRO, lambda: observations.alerts(50), 50),
    "t.tar": (Format.TAR, _tar, 3),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("pieces", [(), (1, 511, 1), (37,) * 200])
def test_other_formats(name: str, pieces: tuple[int, ...]) -> None:
    format, make, rows = OTHERS[name]
    content = make()
    found = look(content, name, *pieces)
    assert (found.format, found.rows, found.size) == (format, rows, len(content))
    if format in (Format.PARQUET, Format.VOTABLE, Format.CSV):
        assert found.contents.columns == ("ra", "dec")
    assert look(gzip.compress(content), f"{name}.gz").rows == rows


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_cut_short(name: str) -> None:
    content = OTHERS[name][1]()
    end = content.find(b"two\n") + 3 if name == "t.csv" else len(content) * 2 // 3  # of CSV within quotes
    refused(content[:end], name)


def test_votables_that_ask_for_too_much() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE V [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    found = look(bomb + b"<VOTABLE><RESOURCE>&b;</RESOURCE></VOTABLE>", "t.vot")
    assert found.rows is None
    assert "line 1" in refused(bomb + b"<VOTABLE>", "t.vot")


def test_avro_whose_block_was_changed() -> None:
    content = bytearray(observations.alerts(50, codec="null"))
    content[-1] ^= 1
    assert "does not end with the file's mark" in refused(bytes(content), "t.avro")


def test_tar_whose_header_was_changed() -> None:
    content = bytearray(_tar())
    content[3] ^= 1
    assert "does not fit its own sum" in refused(bytes(content), "t.tar")


def test_what_is_not_looked_into() -> None:
    assert look(b"\x89PNG\r\n\x1a\n" + bytes(100), "plot.png").format is Format.OTHER
    assert look(b"a,b\n1,2\n", "notes.txt").format is Format.OTHER


def test_empty_files_and_false_names() -> None:
    assert "is empty" in refused(b"")
    assert "is not FITS as its name says" in refused(b"PAR1" + bytes(1000))
    assert "is not AVRO" in refused(observations.image({}), "a.avro")
    assert "gzip packing is damaged" in refused(b"\x1f\x8b" + b"nonsense" * 100, "a.fits.gz")
    assert "ends within its gzip packing" in refused(gzip.compress(observations.image({}))[:-20], "a.fits.gz")


# --- FITS that is not whole, or lies --------------------------------------------------------------


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    """``content`` with the first ``old`` overwritten."""
    assert len(old) == len(new)
    assert old in content
    return content.replace(old, new, 1)


def card(keyword: str, value: str) -> bytes:
    return f"{keyword:8}= {value:>20}".encode()


PLAIN = observations.image({"GAIN": 2}, checksum=False)
LARGER = observations.packed([fits.PrimaryHDU(observations.pixels(40, 40))], checksum=False)
SUMMED = observations.image({"OBJECT": "M 13"}, extensions=[table()])

LIES = {
    "another first card": (changed(PLAIN, b"SIMPLE  =", b"SIMPLE = "), "the first card is not SIMPLE"),
    "not FITS by its own word": (
        changed(PLAIN, card("SIMPLE", "T"), card("SIMPLE", "F")),
        "HDU 0 (PRIMARY): SIMPLE is not T",
    ),
    "no such BITPIX": (changed(PLAIN, card("BITPIX", "16"), card("BITPIX", "17")), "must be one of 8, 16"),
    "BITPIX too small": (changed(PLAIN, card("BITPIX", "16"), card("BITPIX", "8")), "should be padding and is not"),
    "BITPIX too large": (changed(LARGER, card("BITPIX", "16"), card("BITPIX", "-64")), "ends after 5,760 of 14,400"),
    "NAXIS1 too small": (changed(PLAIN, card("NAXIS1", "16"), card("NAXIS1", "15")), "should be padding and is not"),
    "NAXIS1 too large": (
        changed(PLAIN, card("NAXIS1", "16"), card("NAXIS1", "1600")),
        "ends after 2,880 of 40,320 bytes of data",
    ),
    "NAXIS1 no number": (changed(PLAIN, card("NAXIS1", "16"), card("NAXIS1", "1e3")), "NAXIS1 must be a number"),
    "NAXIS1 negative": (changed(PLAIN, card("NAXIS1", "16"), card("NAXIS1", "-16")), "NAXIS1 must be a number"),
    "NAXIS1 beyond everything": (
        changed(PLAIN, card("NAXIS1", "16"), card("NAXIS1", "9" * 18)).replace(b"      12", b"99999912"),
        "more bytes than any file has",
    ),
    "NAXIS too many": (changed(PLAIN, card("NAXIS", "2"), card("NAXIS", "1000")), "from 0 to 999"),
    "axes out of order": (
        changed(changed(PLAIN, b"NAXIS1  =", b"NAXISX  ="), b"NAXIS2  =", b"NAXIS1  =").replace(b"NAXISX", b"NAXIS2"),
        "must be NAXIS1, not NAXIS2",
    ),
    "a keyword twice": (changed(PLAIN, card("GAIN", "2"), card("BITPIX", "8")), "BITPIX is given twice"),
    "not ASCII": (changed(PLAIN, b"conforms", "è".encode() + b"nforms"), "card 1 (SIMPLE) holds the byte 0xc3"),
    "something behind END": (PLAIN[: BLOCK - 1] + b"x" + PLAIN[BLOCK:], "follows the END card"),
    "cut in the header": (PLAIN[:2000], "ends within a header"),
    "cut in the data": (
        PLAIN[:-1],
        "ends after 2,879 of 2,880 bytes of data (padding included) that follow from BITPIX 16",
    ),
    "cut in the header of an extension": (SUMMED[: BLOCK * 2 + 1000], "1,000 bytes follow that are no HDU"),
    "something behind the end": (PLAIN + b"\0" * BLOCK, "neither an extension nor the end of the file"),
    "a table wider than its columns": (
        changed(SUMMED, b"TFORM1  = 'K       '", b"TFORM1  = '2K      '"),
        "HDU 1 (STARS): NAXIS1 is 25, but the columns by TFORM are 33 bytes wide",
    ),
    "a column of no form": (
        changed(SUMMED, b"TFORM1  = 'K       '", b"TFORM1  = 'Z       '"),
        "TFORM1 must be the form",
    ),
    "no PCOUNT": (changed(SUMMED, b"PCOUNT  =", b"PCOUNTY ="), "PCOUNT must be a number, 0 or more, not missing"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_fits_that_lies(name: str) -> None:
    content, message = LIES[name]
    assert message in refused(content)


def is_guarded(place: int) -> bool:
    """Whether a byte of ``SUMMED`` is under a checksum; only the word CHECKSUM itself is not."""
    start = place // CARD * CARD
    return not (SUMMED[start : start + 10] == b"CHECKSUM= " and place < start + 10)


@pytest.mark.requirement("DMS-DBB-REQ-0019")
@given(place=st.integers(0, len(SUMMED) - 1).filter(is_guarded), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(place: int, bit: int) -> None:
    content = bytearray(SUMMED)
    content[place] ^= 1 << bit
    refused(bytes(content))


@given(data=st.binary(max_size=9000))
def test_sums_are_those_of_astropy(data: bytes) -> None:
    content = observations.packed([fits.PrimaryHDU(np.frombuffer(data, np.uint8) if data else None)])
    assert look(content).hdus[0].data_size == len(data)


def test_what_is_wrong_names_the_sum() -> None:
    content = observations.image({"OBJECT": "M 13"})
    assert "DATASUM is" in refused(content[:BLOCK] + b"\x01" + content[BLOCK + 1 :])
    assert "HDU 0 (PRIMARY): CHECKSUM does not fit" in refused(changed(content, b"M 13", b"M 31"))


def test_sums_that_are_minus_zero_or_not_told() -> None:
    ones = np.full(720, -1, "i4")
    content = observations.packed([fits.PrimaryHDU(ones)])
    assert look(content).hdus[0].header["DATASUM"] in ("4294967295", "0")
    blank = changed(content, content[content.index(b"CHECKSUM= '") :][:27], b"CHECKSUM= '                ")
    assert look(blank).format is Format.FITS
    assert "DATASUM must be a number in quotes" in refused(
        changed(content, b"DATASUM = '" + look(content).hdus[0].header["DATASUM"][:4].encode(), b"DATASUM = 'abcd")
    )


def test_padding_of_text_is_blank() -> None:
    text = fits.TableHDU.from_columns([fits.Column("a", "I6", array=np.arange(9), ascii=True)], name="TEXT")
    content = observations.packed([fits.PrimaryHDU(), text], checksum=False)
    assert look(content).rows == 9
    assert "should be padding" in refused(content[:-1] + b"\0")


def test_small_extensions_that_tell_of_the_making_are_kept() -> None:
    kernel = fits.ImageHDU(np.ones((5, 5)), name="KERNEL")
    found = look(observations.image({}, extensions=[kernel, fits.ImageHDU(np.ones((5, 5)), name="MASK")]))
    kept = found.hdus[1].data
    assert kept is not None
    assert np.array_equal(np.frombuffer(kept, ">f8").reshape(5, 5), kernel.data)
    assert found.hdus[2].data is None
    large = fits.ImageHDU(np.ones((1100, 1100)), name="KERNEL")
    assert look(observations.image({}, extensions=[large])).hdus[1].data is None


@given(noise=st.binary(min_size=1, max_size=3 * BLOCK), place=st.integers(0, len(SUMMED)))
def test_any_bytes_end_in_a_fault_or_not_at_all(noise: bytes, place: int) -> None:
    """Whatever is in a file, an inspection ends, and with nothing but a fault that people can read."""
    content = SUMMED[:place] + noise + SUMMED[place + len(noise) :]
    for name, form in (("a.fits", content), ("a.avro", b"Obj\x01" + noise), ("a.parquet", b"PAR1" + noise + b"PAR1")):
        with contextlib.suppress(UsageFault):
            look(form, name)


# --- memory ---------------------------------------------------------------------------------------


def peak(feeding: Callable[[Inspection], None], name: str) -> int:
    """Bytes of memory that an inspection needed at most."""
    inspection = Inspection(name, digest=False)
    tracemalloc.start()
    try:
        feeding(inspection)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_without_end_is_refused_long_before_it_ends() -> None:
    first = PLAIN[:BLOCK].replace(b"END     ", b"COMMENT ")
    comments = (b"COMMENT " + b"x" * 72) * 36 * 100
    fed = 0

    def feeding(inspection: Inspection) -> None:
        nonlocal fed
        inspection.feed(first)
        for _ in range(100 * 2**20 // len(comments)):
            fed += len(comments)
            inspection.feed(comments)

    def refusal(inspection: Inspection) -> None:
        with pytest.raises(UsageFault, match="no END card in"):
            feeding(inspection)

    assert peak(refusal, "endless.fits") < 40 * 2**20
    assert fed < 10 * 2**20


def test_headers_without_number() -> None:
    extension = fits.ImageHDU().header.tostring().encode("ascii")
    inspection = Inspection("many.fits")
    inspection.feed(PLAIN)
    with pytest.raises(UsageFault, match=r"the headers up to here are larger than .* Split the file"):
        inspection.feed(extension * 12_000)


def test_memory_does_not_grow_with_the_file() -> None:
    piece = bytes(1 << 20)
    head = changed(PLAIN[:BLOCK], card("NAXIS1", "16"), card("NAXIS1", str(200 * 2**20)))

    def feeding(inspection: Inspection) -> None:
        inspection.feed(head)
        for _ in range(200):
            inspection.feed(piece)

    assert peak(feeding, "large.fits") < 8 * 2**20
    packed = gzip.compress(b"\0" * (1 << 20), 9)
    begin = gzip.compress(head, 9)

    def unpacking(inspection: Inspection) -> None:
        inspection.feed(begin)
        for _ in range(200):
            inspection.feed(packed)

    assert peak(unpacking, "large.fits.gz") < 8 * 2**20


def test_memory_of_xml_does_not_grow_with_the_file() -> None:
    rows = b"<TR><TD>1.25</TD><TD>abc</TD></TR>\n" * 20_000
    head = b"<VOTABLE><RESOURCE><TABLE><FIELD name='a' datatype='double'/><FIELD name='b' datatype='char'/>"
    stream = b"x" * 76 + b"\n"

    def usage() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # lxml's memory is not Python's

    inspection = Inspection("t.vot", digest=False)
    inspection.feed(head + b"<DATA><TABLEDATA>" + rows)
    before = usage()
    for _ in range(40):
        inspection.feed(rows)
    inspection.feed(b"</TABLEDATA></DATA></TABLE><TABLE><DATA><BINARY><STREAM>")
    for _ in range(200):
        inspection.feed(stream * 2000)
    inspection.feed(b"</STREAM></BINARY></DATA></TABLE></RESOURCE></VOTABLE>")
    assert inspection.finish().rows == 41 * 20_000
    assert usage() - before < 20_000  # kB, of 60 MB

"""Matching kernels: read from difference images, kept with the metadata, rebuilt at any pixel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from archive.backbone import gathering
from archive.backbone.examination import Kernel, examine, kernel_of
from archive.backbone.ingest import ingest
from archive.backbone.inspection import Inspection
from archive.backbone.receiving import Terms
from archive.faults import UsageFault
from archive.ledger import files, products
from archive.ledger.products import Product
from archive.products import product_types
from archive.releases import shipped
from tests import observations
from tests.archives import make

WIDTH, HEIGHT = 16, 12  # of the images that are made here
SIGMAS, DEGREES, SIDE, ORDER = (0.7, 1.5), (2, 1), 9, 2
TERMS = (ORDER + 1) * (ORDER + 2) // 2
KIND = product_types([shipped()])["difference_image"]
IMAGES = 6 + 3  # powers (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), and three more


def difference(extensions: list[Any], **cards: Any) -> Product:
    inspection = Inspection("difference.fits")
    inspection.feed(observations.image({**observations.DIFFERENCE, **cards}, extensions=extensions))
    return examine(KIND, inspection.finish(), release="dr1", collection="nightly")


def rebuilt(extensions: list[Any], **cards: Any) -> Kernel:
    """The kernel as it comes back from the ledger's JSON."""
    found = kernel_of(json.loads(json.dumps(difference(extensions, **cards).metadata)))
    assert found is not None
    return found


def refused(extensions: list[Any], **cards: Any) -> str:
    with pytest.raises(UsageFault, match="kernel") as fault:
        difference(extensions, **cards)
    return fault.value.message


def hotpants(*columns: np.ndarray, **cards: Any) -> fits.BinTableHDU:
    """The table that HOTPANTS appends, one column of coefficients for each region."""
    table = fits.BinTableHDU.from_columns(
        [fits.Column(f"Region{number}", "D", array=each) for number, each in enumerate(columns)],
        name="Convolution Kernel Information",
    )
    told = {"NGAUSS": 2, "FWKERN": SIDE, "CKORDER": ORDER, "BGORDER": 1}
    told |= {f"DGAUSS{n}": degree for n, degree in enumerate(DEGREES, start=1)}
    told |= {f"SGAUSS{n}": sigma for n, sigma in enumerate(SIGMAS, start=1)}
    table.header.update({**told, **cards})
    return table


def by_hand(column: np.ndarray, x: int, y: int, west: int, south: int, width: int, height: int) -> np.ndarray:
    """The kernel written out with loops, as Alard & Lupton describe it."""
    places = range(-(SIDE // 2), SIDE // 2 + 1)
    across, up = (x - west - 0.5 * width) / (0.5 * width), (y - south - 0.5 * height) / (0.5 * height)
    total = np.zeros((SIDE, SIDE))
    first = None
    at, number = 2, 0
    for sigma, degree in zip(SIGMAS, DEGREES, strict=True):
        for i in range(degree + 1):
            for j in range(degree + 1 - i):
                image = np.array(
                    [[np.exp(-(u * u + v * v) / (2 * sigma**2)) * u**i * v**j for u in places] for v in places]
                )
                if i % 2 == 0 and j % 2 == 0:
                    image /= image.sum()
                    first = image if first is None else first
                    image = image - first if number else image
                if number == 0:
                    weight = column[1]
                else:
                    weight = 0.0
                    for p in range(ORDER + 1):
                        for q in range(ORDER + 1 - p):
                            weight += column[at] * across**p * up**q
                            at += 1
                total += weight * image
                number += 1
    return total


def solution(seed: int) -> np.ndarray:
    """Coefficients with one that is not used before them, and three of the background behind."""
    return np.random.default_rng(seed).normal(size=2 + (IMAGES - 1) * TERMS + 3)


@pytest.mark.requirement("DMS-DBB-REQ-0003")
def test_a_kernel_of_hotpants_is_rebuilt_at_a_pixel() -> None:
    column = solution(1)
    kernel = rebuilt([hotpants(column)])
    for x, y in ((1, 1), (16, 12), (7, 3)):
        assert kernel.at(x, y).shape == (SIDE, SIDE)
        assert np.allclose(kernel.at(x, y), by_hand(column, x, y, 1, 1, WIDTH, HEIGHT), rtol=1e-12, atol=1e-14)
    assert not np.allclose(kernel.at(1, 1), kernel.at(16, 12))


@pytest.mark.requirement("DMS-DBB-REQ-0003")
def test_the_sum_of_a_kernel_is_the_same_everywhere() -> None:
    """Only the first image of the basis has a sum, so the flux scale does not vary (Alard 2000)."""
    column = solution(2)
    odd = np.zeros(IMAGES, bool)
    odd[[1, 3, 4, 7, 8]] = True  # powers that are not both even have coefficients of zero here
    column[2 : 2 + (IMAGES - 1) * TERMS].reshape(-1, TERMS)[odd[1:]] = 0
    kernel = rebuilt([hotpants(column)])
    assert {round(float(kernel.at(x, y).sum()), 9) for x in (1, 8, 16) for y in (1, 12)} == {round(column[1], 9)}


@pytest.mark.requirement("DMS-DBB-REQ-0003")
def test_a_kernel_that_went_through_the_ledger(tmp_path: Path, data: Path) -> None:
    """Inputs first, then the difference image: its kernel comes back, its inputs are files that are here."""
    endpoint = make(tmp_path / "home", data, reserve=0)
    place = f"archive://{endpoint.site.authority}/sp_test/made"
    for name in ("science", "template"):
        (tmp_path / f"{name}.txt").write_text(name)
        ingest(endpoint, gathering.copied([tmp_path / f"{name}.txt"], Terms("other", "sp_test", "made")))
    column, path = solution(9), tmp_path / "difference.fits"
    inputs = {"SCIENCE": f"{place}/science.txt", "TEMPLATE": f"{place}/template.txt"}
    path.write_bytes(observations.image({**observations.DIFFERENCE, **inputs}, extensions=[hotpants(column)]))
    ingest(endpoint, gathering.copied([path], Terms("difference_image", "sp_test", "made")))
    with endpoint.ledger.read() as transaction:
        number = files.find(transaction, [f"{place}/difference.fits"])[f"{place}/difference.fits"].id
        kept = products.find(transaction, [number])[number].product
        resolved = products.resolved_inputs(transaction, number)
    kernel = kernel_of(kept.metadata)
    assert kernel is not None
    assert np.allclose(kernel.at(7, 3), by_hand(column, 7, 3, 1, 1, WIDTH, HEIGHT))
    assert {role: uri for role, uri, found in resolved if found is not None} == {
        "science": inputs["SCIENCE"],
        "template": inputs["TEMPLATE"],
    }


def test_regions_have_kernels_of_their_own() -> None:
    west, east = solution(3), solution(4)
    kernel = rebuilt([hotpants(west, east)], REGION00="[1:8,1:12]", REGION01="[9:16,1:12]")
    assert np.allclose(kernel.at(8, 5), by_hand(west, 8, 5, 1, 1, 8, HEIGHT))
    assert np.allclose(kernel.at(9, 5), by_hand(east, 9, 5, 9, 1, 8, HEIGHT))
    with pytest.raises(UsageFault, match=r"not defined at pixel \(17, 5\)"):
        kernel.at(17, 5)


@pytest.mark.requirement("DMS-DBB-REQ-0003")
def test_a_basis_of_images() -> None:
    random = np.random.default_rng(5)
    planes, coefficients = random.normal(size=(4, 7, 5)).astype("f4"), random.normal(size=(4, 3))
    kernel = rebuilt([fits.ImageHDU(planes, name="KERNEL"), fits.ImageHDU(coefficients, name="KERNEL_COEFF")])
    x, y = 2 * (5 - 1) / WIDTH - 1, 2 * (9 - 1) / HEIGHT - 1
    weights = coefficients @ [1.0, y, x]
    assert np.allclose(kernel.at(5, 9), np.einsum("n,nij->ij", weights, planes), atol=1e-12)


def test_one_image_is_a_kernel_that_does_not_vary() -> None:
    scaled = fits.ImageHDU(np.arange(15, dtype=np.int16).reshape(3, 5), name="KERNEL")
    scaled.header["BSCALE"] = 0.5
    kernel = rebuilt([scaled])
    assert np.array_equal(kernel.at(1, 1), kernel.at(16, 12))
    assert kernel.at(3, 3)[2, 4] == 7.0


def test_a_kernel_can_be_given() -> None:
    first = difference([hotpants(solution(6))])
    fact: Any = first.metadata["kernel"]
    inspection = Inspection("difference.fits")
    inspection.feed(observations.image(observations.DIFFERENCE))
    told = {"kernel": json.dumps(fact["value"])}
    again = examine(KIND, inspection.finish(), told, release="dr1", collection="nightly")
    kernels = [kernel_of(product.metadata) for product in (first, again)]
    assert kernels[0] is not None
    assert kernels[1] is not None
    assert np.array_equal(kernels[0].at(3, 4), kernels[1].at(3, 4))


def test_an_image_without_kernel() -> None:
    assert "kernel is missing" in refused([])
    inspection = Inspection("difference.fits")
    inspection.feed(observations.image(observations.DIFFERENCE))
    why = {"kernel": "kept as archive://rubin.example/kernels/123"}
    product = examine(KIND, inspection.finish(), None, why, release="dr1", collection="nightly")
    assert kernel_of(product.metadata) is None


BROKEN: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "too few coefficients": (lambda: [hotpants(solution(7)[:20])], "20 rows, which are too few"),
    "no Gaussians": (lambda: [hotpants(solution(7), NGAUSS=0)], "NGAUSS is 0"),
    "too many Gaussians": (lambda: [hotpants(solution(7), NGAUSS=10**9)], "NGAUSS is 1000000000"),
    "an order beyond reason": (lambda: [hotpants(solution(7), CKORDER=10**6)], "CKORDER or DGAUSS outside"),
    "a width beyond reason": (lambda: [hotpants(solution(7), FWKERN=10**6)], "Gaussians have no width"),
    "no width": (lambda: [hotpants(solution(7), SGAUSS1=0.0)], "Gaussians have no width"),
    "text for a number": (lambda: [hotpants(solution(7), SGAUSS2="x")], "SGAUSS2 is no number"),
    "not finite": (lambda: [hotpants(solution(7) * np.nan)], "coefficients must be finite"),
    "regions missing": (lambda: [hotpants(solution(7), solution(8))], "lacks REGION00 to REGION01"),
    "a basis without coefficients": (
        lambda: [fits.ImageHDU(np.ones((2, 3, 3)), name="KERNEL")],
        "no KERNEL_COEFF with their coefficients",
    ),
    "coefficients of another basis": (
        lambda: [fits.ImageHDU(np.ones((2, 3, 3)), name="KERNEL"), fits.ImageHDU(np.ones((3, 3)), name="KERNEL_COEFF")],
        "coefficients (3, 3), its basis and order need (2, 3)",
    ),
    "coefficients of no order": (
        lambda: [fits.ImageHDU(np.ones((2, 3, 3)), name="KERNEL"), fits.ImageHDU(np.ones((2, 4)), name="KERNEL_COEFF")],
        "the order -1",
    ),
    "a kernel too large to be kept": (
        lambda: [fits.ImageHDU(np.ones((1100, 1100)), name="KERNEL")],
        "too large to be kept",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_kernels_that_are_none(name: str) -> None:
    make, why = BROKEN[name]
    assert why in refused(make())


@given(seed=st.integers(0, 2**32), x=st.integers(1, WIDTH), y=st.integers(1, HEIGHT))
def test_any_kernel_comes_back_as_it_went(seed: int, x: int, y: int) -> None:
    column = solution(seed)
    expected = by_hand(column, x, y, 1, 1, WIDTH, HEIGHT)
    assert np.allclose(rebuilt([hotpants(column)]).at(x, y), expected, rtol=1e-10, atol=1e-12)

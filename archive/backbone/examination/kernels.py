"""Matching kernels of difference images: kept as a basis and coefficients, so that they can be rebuilt at any pixel.

A kernel is a sum over basis images, each times a polynomial of the place on the image (Alard & Lupton 1998, ApJ 503,
325; Alard 2000, A&AS 144, 363). Two ways to write one are read:

- the table that HOTPANTS appends to its difference images (``-hki``), whose basis are Gaussians times powers;
- an image extension ``KERNEL`` that holds the basis, one plane for each image (a single plane is a kernel that is
  the same everywhere), and an image extension ``KERNEL_COEFF`` with one row of coefficients for each plane.

Polynomials are of x and y that go from -1 to 1 over a region of the image. Their terms are x**i * y**j with
i + j <= order, ordered by i and then by j.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive.backbone.examination.facts import facts_of
from archive.backbone.inspection import Hdu, HduKind, said
from archive.faults import UsageFault
from archive.ledger.events import Json

ITEM = "kernel"
"""Name of the item that holds a kernel."""

_MOST_ORDER = 20
_MOST_WIDTH = 255
_REGION = re.compile(r"\[(\d+):(\d+),(\d+):(\d+)\]")
_BITPIX = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

Floats = NDArray[np.float64]


class NoKernel(ValueError):
    """What should be a kernel is none; the message tells why."""


@dataclass(frozen=True, slots=True)
class Gaussians:
    """A basis of Gaussians times powers of x and y, on ``width`` x ``width`` pixels; widths ``sigmas`` in pixels.

    For each Gaussian the powers (i, j) with i + j up to its degree, by i and then by j. An image whose powers are
    both even is normalised to a sum of 1, and all such but the first have the first one taken away.
    """

    width: int
    sigmas: tuple[float, ...]
    degrees: tuple[int, ...]

    def images(self) -> Floats:
        """The basis, shaped (n, width, width)."""
        place = np.arange(self.width, dtype=np.float64) - self.width // 2
        found: list[Floats] = []
        for sigma, degree in zip(self.sigmas, self.degrees, strict=True):
            bell = np.exp(-(place**2) / (2 * sigma**2))
            for i, j in _powers(degree):
                x, y = bell * place**i, bell * place**j
                if i % 2 == 0 and j % 2 == 0:
                    image = np.outer(y / y.sum(), x / x.sum())
                    found.append(image - found[0] if found else image)
                else:
                    found.append(np.outer(y, x))
        return np.stack(found)

    @property
    def json(self) -> Mapping[str, Json]:
        return {"kind": "gaussians", "width": self.width, "sigmas": self.sigmas, "degrees": self.degrees}


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """A basis of images as they are, shaped (n, height, width)."""

    planes: Floats

    def images(self) -> Floats:
        """The basis."""
        return self.planes

    @property
    def json(self) -> Mapping[str, Json]:
        return {"kind": "images", "shape": self.planes.shape, "planes": _packed(self.planes)}


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Coefficients, shaped (basis images, terms of the polynomial), for the pixels of a region: first and last x, y."""

    region: tuple[int, int, int, int]
    coefficients: Floats

    def holds(self, x: float, y: float) -> bool:
        """Whether the region holds a place; pixels reach half a pixel beyond their centres."""
        west, east, south, north = self.region
        return west - 0.5 <= x <= east + 0.5 and south - 0.5 <= y <= north + 0.5

    def weights(self, x: float, y: float, order: int) -> Floats:
        """The factor of each image of the basis at a place."""
        west, east, south, north = self.region
        across, up = (2 * (x - west) / (east - west + 1) - 1, 2 * (y - south) / (north - south + 1) - 1)
        return np.asarray(self.coefficients @ np.array([across**i * up**j for i, j in _powers(order)]))


@dataclass(frozen=True)
class Kernel:
    """A kernel that varies over an image: a basis, the order of the polynomials, coefficients by region."""

    basis: Gaussians | Images
    order: int
    solutions: tuple[Solution, ...]

    @cached_property
    def _images(self) -> Floats:
        return self.basis.images()

    def at(self, x: float, y: float) -> Floats:
        """The kernel at a pixel, shaped (height, width); (1, 1) is the centre of the image's first pixel.

        Raises:
            UsageFault: no region of the kernel holds the pixel.
        """
        solution = next((each for each in self.solutions if each.holds(x, y)), None)
        if solution is None:
            raise UsageFault(f"The kernel is not defined at pixel ({x:g}, {y:g}).", "Choose one inside the image.")
        return np.asarray(np.tensordot(solution.weights(x, y, self.order), self._images, axes=1))

    @property
    def json(self) -> Mapping[str, Json]:
        """As it is kept in the ledger."""
        solutions = [
            {"region": each.region, "shape": each.coefficients.shape, "coefficients": _packed(each.coefficients)}
            for each in self.solutions
        ]
        return {"basis": self.basis.json, "order": self.order, "solutions": solutions}


def kernel_of(metadata: Mapping[str, Json]) -> Kernel | None:
    """The matching kernel among the metadata of a difference image, or None if there is none."""
    fact = facts_of(metadata).get(ITEM)
    return from_json(fact.value) if fact is not None and isinstance(fact.value, Mapping) else None


def from_json(told: Mapping[str, Any]) -> Kernel:
    """A kernel as the ledger keeps it.

    Raises:
        NoKernel: it is none.
    """
    try:
        basis, solutions = told["basis"], told["solutions"]
        if basis["kind"] == "gaussians":
            found: Gaussians | Images = Gaussians(basis["width"], tuple(basis["sigmas"]), tuple(basis["degrees"]))
        else:
            found = Images(_unpacked(basis["planes"], basis["shape"]))
        parts = tuple(
            Solution(tuple(each["region"]), _unpacked(each["coefficients"], each["shape"])) for each in solutions
        )
        return _checked(Kernel(found, told["order"], parts))
    except (KeyError, TypeError, ValueError) as error:
        raise NoKernel(f"it is not written as kernels are kept: {error}") from error


def _packed(values: Floats) -> str:
    return base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")


def _unpacked(text: str, shape: Sequence[int]) -> Floats:
    return np.frombuffer(base64.b64decode(text), "<f8").reshape(tuple(shape)).astype(np.float64)


def _powers(order: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]


def _checked(kernel: Kernel) -> Kernel:
    """``kernel``, if its parts fit each other."""
    if not 0 <= kernel.order <= _MOST_ORDER:
        raise NoKernel(f"the order {kernel.order} of its polynomials does not lie in 0..{_MOST_ORDER}")
    match kernel.basis:
        case Gaussians(width, sigmas, degrees):
            if not 1 <= width <= _MOST_WIDTH or not sigmas or not all(0 < sigma < math.inf for sigma in sigmas):
                raise NoKernel("its Gaussians have no width")
            if not all(0 <= degree <= _MOST_ORDER for degree in degrees) or len(degrees) != len(sigmas):
                raise NoKernel(f"the degrees of its Gaussians do not lie in 0..{_MOST_ORDER}")
            count = sum(len(_powers(degree)) for degree in degrees)
        case Images(planes):
            if planes.ndim != 3 or not planes.size or not np.isfinite(planes).all():
                raise NoKernel("its basis must be images of finite numbers")
            count = len(planes)
    wanted = (count, len(_powers(kernel.order)))
    for each in kernel.solutions:
        if each.coefficients.shape != wanted:
            raise NoKernel(f"it has coefficients {each.coefficients.shape}, its basis and order need {wanted}")
        if not np.isfinite(each.coefficients).all():
            raise NoKernel("its coefficients must be finite numbers")
        if not (len(each.region) == 4 and each.region[0] <= each.region[1] and each.region[2] <= each.region[3]):
            raise NoKernel(f"{each.region} is no region")
    if not kernel.solutions:
        raise NoKernel("it has no coefficients")
    return kernel


# --- as files tell it -----------------------------------------------------------------------------


def read_kernel(hdus: Sequence[Hdu]) -> tuple[Kernel, str] | None:
    """The kernel that a difference image tells and where, or None where it tells none.

    Raises:
        NoKernel: the extensions that should tell one do not.
    """
    for hdu in hdus:
        if hdu.data is not None and hdu.kind is HduKind.TABLE and "NGAUSS" in hdu.header:
            return _checked(_from_hotpants(hdu, hdus)), str(hdu)
        if hdu.name.upper() == "KERNEL" and hdu.kind is HduKind.IMAGE:
            if hdu.data is None:
                raise NoKernel(f"{hdu} is too large to be kept with the metadata")
            return _checked(_from_images(hdu, hdus)), str(hdu)
    return None


def _from_hotpants(hdu: Hdu, hdus: Sequence[Hdu]) -> Kernel:
    """The table "Convolution Kernel Information": a column of doubles for each region.

    Of a column the first number is not used, the second is the coefficient of the first image of the basis, which
    does not vary; then come those of the others and of the background.
    """
    count = _whole(hdu, "NGAUSS")
    if not 0 < count <= _MOST_ORDER:
        raise NoKernel(f"{hdu} NGAUSS is {count}")
    sigmas = tuple(_number(hdu, f"SGAUSS{each}") for each in range(1, count + 1))
    degrees = tuple(_whole(hdu, f"DGAUSS{each}") for each in range(1, count + 1))
    order = _whole(hdu, "CKORDER")
    if not all(0 <= each <= _MOST_ORDER for each in (order, *degrees)):
        raise NoKernel(f"{hdu} has a CKORDER or DGAUSS outside 0..{_MOST_ORDER}")
    images, terms = sum(len(_powers(degree)) for degree in degrees), len(_powers(order))
    width, rows = hdu.shape
    if width % 8 or rows < 2 + (images - 1) * terms or hdu.data is None:
        raise NoKernel(f"{hdu} has {rows} rows, which are too few for its NGAUSS, DGAUSS and CKORDER")
    columns = np.frombuffer(hdu.data[: width * rows], ">f8").reshape(rows, width // 8).astype(np.float64)
    regions = _regions(hdus, width // 8)
    solutions = []
    for column, region in enumerate(regions):
        coefficients = np.zeros((images, terms))
        coefficients[0, 0] = columns[1, column]
        coefficients[1:] = columns[2 : 2 + (images - 1) * terms, column].reshape(images - 1, terms)
        solutions.append(Solution(region, coefficients))
    return Kernel(Gaussians(_whole(hdu, "FWKERN"), sigmas, degrees), order, tuple(solutions))


def _regions(hdus: Sequence[Hdu], count: int) -> list[tuple[int, int, int, int]]:
    """REGION00, REGION01, ... of the first header; one region may be left out: it is the whole image."""
    found = []
    for number in range(count):
        match = _REGION.match(str(said(hdus[0].header, f"REGION{number:02d}")).replace(" ", ""))
        if match:
            found.append((int(match[1]), int(match[2]), int(match[3]), int(match[4])))
    return found if len(found) == count else [_whole_image(hdus)] if count == 1 else _no_regions(count)


def _no_regions(count: int) -> list[tuple[int, int, int, int]]:
    raise NoKernel(f"the first header lacks REGION00 to REGION{count - 1:02d}")


def _whole_image(hdus: Sequence[Hdu]) -> tuple[int, int, int, int]:
    for hdu in hdus:
        if hdu.is_image and len(hdu.shape) >= 2 and not hdu.name.upper().startswith("KERNEL"):
            return 1, hdu.shape[0], 1, hdu.shape[1]
    raise NoKernel("there is no image that it could belong to")


def _from_images(hdu: Hdu, hdus: Sequence[Hdu]) -> Kernel:
    planes = _pixels(hdu)
    planes = planes.reshape((1, *planes.shape)) if planes.ndim == 2 else planes
    beside = next((each for each in hdus if each.name.upper() == "KERNEL_COEFF"), None)
    if beside is None:
        if len(planes) > 1:
            raise NoKernel(f"{hdu} has {len(planes)} planes, and there is no KERNEL_COEFF with their coefficients")
        return Kernel(Images(planes), 0, (Solution(_whole_image(hdus), np.ones((1, 1))),))
    coefficients = np.atleast_2d(_pixels(beside))
    order = next((order for order in range(_MOST_ORDER + 1) if len(_powers(order)) == coefficients.shape[-1]), -1)
    return Kernel(Images(planes), order, (Solution(_whole_image(hdus), coefficients),))


def _pixels(hdu: Hdu) -> Floats:
    """The numbers of an image that was kept, NAXIS1 last."""
    if hdu.data is None or hdu.kind is not HduKind.IMAGE or not hdu.shape:
        raise NoKernel(f"{hdu} is no image that could be read")
    stored = np.frombuffer(hdu.data, _BITPIX[_whole(hdu, "BITPIX")]).reshape(hdu.shape[::-1])
    scale, zero = (
        _number(hdu, key) if key in hdu.header else default for key, default in (("BSCALE", 1), ("BZERO", 0))
    )
    return np.asarray(stored * float(scale) + float(zero), dtype=np.float64)


def _whole(hdu: Hdu, keyword: str) -> int:
    number = _number(hdu, keyword)
    if not number.is_integer():
        raise NoKernel(f"{hdu} {keyword} is no whole number")
    return int(number)


def _number(hdu: Hdu, keyword: str) -> float:
    value = said(hdu.header, keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NoKernel(f"{hdu} {keyword} is no number")
    return float(value)

#!/usr/bin/env python3
"""make_lsst.py FOLDER [--seed N] [--objects N] [--visits N] [--asteroids FILE]: small data for schema/lsst.

A little survey of one field: stars and galaxies with believable magnitudes and colours, variable stars, visits through
six filters under changing weather, fluxes with the noise of their visit, and known asteroids where they were at
the time (two-body orbits seen from the Earth's centre; no light time). What no other table depends on is filled by the
kind of its column. One file ``SCHEMA.TABLE.parquet`` for each table of ``prompt``, ``dr1`` and ``dr2``; the same seed
makes the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.coordinates import SkyCoord, get_body_barycentric
from astropy.time import Time

from archive.columns import Column, Datatype, arrow_type
from archive.releases import ID_SHIFT, Release, read_release
from archive.tables import Table

ROOT = Path(__file__).resolve().parent.parent
ASTEROIDS = ROOT / "tests" / "data" / "asteroids.json"
BANDS = np.array(list("ugrizy"))
WAVELENGTHS = dict(zip(BANDS, (367e-9, 483e-9, 622e-9, 755e-9, 869e-9, 971e-9), strict=True))
DEPTHS = dict(zip(BANDS, (23.9, 25.0, 24.7, 24.0, 23.3, 22.1), strict=True))
COLORS = dict(zip(BANDS, (1.9, 0.6, 0.0, -0.25, -0.35, -0.4), strict=True))  # of a G star, against r
CENTRE = (150.1, 2.2)  # degrees, ICRS
RADIUS = 0.35  # degrees of the field that is filled
SENSORS = 9  # of the camera, in three rows
SENSOR_SIZE = 0.23  # degrees
START = 61000.25  # MJD, TAI, of the first visit
OBLIQUITY = np.radians(23.4392911)

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Survey:
    """What there is on the sky and when it was looked at; ``noise`` makes all else, always in the same order."""

    noise: np.random.Generator
    sky: Values
    visits: Values
    asteroids: Values


def flux(magnitude: np.ndarray) -> np.ndarray:
    """AB magnitudes in nJy."""
    return 10 ** ((31.4 - magnitude) / 2.5)


# --- the sky and the visits -----------------------------------------------------------------------


def make_sky(noise: np.random.Generator, count: int) -> Values:
    """Stars and galaxies in the field; one in thirty varies."""
    angle, distance = noise.uniform(0, 2 * np.pi, count), RADIUS * np.sqrt(noise.uniform(0, 1, count))
    red = noise.normal(0, 0.5, count)
    r = 15.5 + 9.5 * noise.power(2.2, count)
    sky = {
        "ra": CENTRE[0] + distance * np.cos(angle) / np.cos(np.radians(CENTRE[1])),
        "dec": CENTRE[1] + distance * np.sin(angle),
        "extended": noise.uniform(0, 1, count) < np.clip((r - 18) / 7, 0.05, 0.85),
        "period": np.where(np.arange(count) % 30 == 0, noise.uniform(0.3, 20, count), np.nan),
        "amplitude": noise.uniform(0.2, 0.8, count),
    }
    return sky | {f"{band}_mag": r + COLORS[band] * (1 + red) for band in BANDS}


def make_visits(noise: np.random.Generator, count: int) -> Values:
    """Visits of the field: twenty a night, the filter changed every five."""
    number = np.arange(count)
    night, turn = number // 20, number % 20
    band = BANDS[(turn // 5 + night * 2) % 6]
    mjd = START + night + turn * 39.0 / 86400
    seeing = np.clip(noise.lognormal(-0.25, 0.2, count), 0.45, 2.5)
    angle = noise.uniform(0, 2 * np.pi, count)
    day = Time(mjd, format="mjd", scale="tai").to_datetime()
    day_obs = np.array([int(f"{each:%Y%m%d}") for each in day])
    return {
        "visit": day_obs.astype(np.int64) * 100_000 + turn + 1,
        "day_obs": day_obs,
        "seq_num": turn + 1,
        "band": band,
        "mjd": mjd,
        "ra": CENTRE[0] + 0.02 * np.cos(angle),
        "dec": CENTRE[1] + 0.02 * np.sin(angle),
        "rotation": noise.uniform(-80, 80, count),
        "altitude": noise.uniform(45, 85, count),
        "azimuth": noise.uniform(0, 360, count),
        "seeing": seeing,
        "depth": np.array([DEPTHS[each] for each in band]) - 2.5 * np.log10(seeing / 0.75),
    }


def make_asteroids(path: Path, count: int, epoch: float) -> Values:
    """Orbits of real asteroids and where on the sky they are at ``epoch`` (MJD), from the Earth's centre."""
    source = json.loads(path.read_text())
    rows = [row for row in (dict(zip(source["fields"], each, strict=True)) for each in source["data"]) if row["H"]]
    rows = rows[:count]
    found: Values = {
        name: np.array([float(row[key]) for row in rows])
        for name, key in {
            "a": "a",
            "e": "e",
            "i": "i",
            "node": "om",
            "argperi": "w",
            "mean": "ma",
            "epoch": "epoch_mjd",
            "h": "H",
        }.items()
    }
    found["moid"] = np.array([float(row["moid"] or "nan") for row in rows])
    found["g"] = np.array([float(row["G"] or 0.15) for row in rows])
    found["designation"] = np.array([row["full_name"].strip().split(" (")[0][:16] for row in rows])
    return found | ephemeris(found, epoch)


def ephemeris(orbit: Values, mjd: float) -> Values:
    """Heliocentric and geocentric vectors (AU, equatorial axes) of two-body orbits, and what follows from them."""
    motion = 0.9856076686 / orbit["a"] ** 1.5  # degrees a day
    mean = np.radians(orbit["mean"] + motion * (mjd - orbit["epoch"]))
    eccentric = mean.copy()
    for _ in range(60):
        eccentric -= (eccentric - orbit["e"] * np.sin(eccentric) - mean) / (1 - orbit["e"] * np.cos(eccentric))
    x = orbit["a"] * (np.cos(eccentric) - orbit["e"])
    y = orbit["a"] * np.sqrt(1 - orbit["e"] ** 2) * np.sin(eccentric)
    helio = turned(np.stack([x, y, np.zeros_like(x)]), orbit)
    moment = Time(mjd, format="mjd", scale="tai")
    earth = (get_body_barycentric("earth", moment) - get_body_barycentric("sun", moment)).xyz.to_value(u.AU)
    topo = helio - earth[:, None]
    far, near = np.linalg.norm(helio, axis=0), np.linalg.norm(topo, axis=0)
    phase = np.degrees(np.arccos(np.clip(np.sum(helio * topo, axis=0) / (far * near), -1, 1)))
    half = np.tan(np.radians(phase) / 2)
    dimming = (1 - orbit["g"]) * np.exp(-3.33 * half**0.63) + orbit["g"] * np.exp(-1.87 * half**1.22)
    return {
        "motion": motion,
        "helio": helio,
        "topo": topo,
        "helio_range": far,
        "topo_range": near,
        "phase": phase,
        "ra": np.degrees(np.arctan2(topo[1], topo[0])) % 360,
        "dec": np.degrees(np.arcsin(topo[2] / near)),
        "v_mag": orbit["h"] + 5 * np.log10(far * near) - 2.5 * np.log10(dimming),
    }


def turned(plane: np.ndarray, orbit: Values) -> np.ndarray:
    """Vectors in the plane of their orbits, turned to equatorial axes."""
    argument, inclination, node = (np.radians(orbit[name]) for name in ("argperi", "i", "node"))
    x, y, z = plane
    x, y = x * np.cos(argument) - y * np.sin(argument), x * np.sin(argument) + y * np.cos(argument)
    y, z = y * np.cos(inclination) - z * np.sin(inclination), y * np.sin(inclination) + z * np.cos(inclination)
    x, y = x * np.cos(node) - y * np.sin(node), x * np.sin(node) + y * np.cos(node)
    return np.stack([x, y * np.cos(OBLIQUITY) - z * np.sin(OBLIQUITY), y * np.sin(OBLIQUITY) + z * np.cos(OBLIQUITY)])


# --- what was measured ----------------------------------------------------------------------------


def measured(survey: Survey, block: int) -> Values:
    """A flux for each object on each visit, with its noise: flat arrays, visits slowest."""
    sky, visits = survey.sky, survey.visits
    objects, count = len(sky["ra"]), len(visits["visit"])
    visit, source = np.repeat(np.arange(count), objects), np.tile(np.arange(objects), count)
    magnitude = np.empty(len(visit))
    for band in BANDS:
        mine = visits["band"][visit] == band
        magnitude[mine] = sky[f"{band}_mag"][source[mine]]
    wave = np.sin(2 * np.pi * visits["mjd"][visit] / np.nan_to_num(sky["period"], nan=1.0)[source])
    steady = flux(magnitude)
    change = np.where(np.isnan(sky["period"][source]), 0.0, steady * sky["amplitude"][source] * wave * 0.5)
    error = np.hypot(flux(visits["depth"][visit]) / 5, 0.005 * steady)
    x = (sky["ra"][source] - visits["ra"][visit]) / SENSOR_SIZE + 1.5
    y = (sky["dec"][source] - visits["dec"][visit]) / SENSOR_SIZE + 1.5
    inside = (x > 0) & (x < 3) & (y > 0) & (y < 3)
    found = {
        "visit": visit,
        "object": source,
        "flux": steady + change + error * survey.noise.normal(size=len(visit)),
        "difference": change + error * survey.noise.normal(size=len(visit)),
        "error": error,
        "detector": np.floor(y).astype(int) * 3 + np.floor(x).astype(int),
        "x": (x % 1) * 4072,
        "y": (y % 1) * 4000,
    }
    kept = {name: values[inside] for name, values in found.items()}
    return kept | {"number": ids(block, np.arange(len(kept["visit"])))}


def ids(block: int, numbers: np.ndarray) -> np.ndarray:
    """IDs of scope release."""
    return (np.int64(block) << np.int64(ID_SHIFT)) + numbers.astype(np.int64) + 1


def placed(survey: Survey, ra: np.ndarray, dec: np.ndarray) -> Values:
    """Positions with an error of a few hundredths of an arc second."""
    scatter = 0.03 / 3600 * survey.noise.normal(size=(2, len(ra)))
    return {"ra": ra + scatter[0] / np.cos(np.radians(dec)), "dec": dec + scatter[1]}


# --- tables ---------------------------------------------------------------------------------------


def sky_tables(survey: Survey, block: int) -> Mapping[str, Values]:
    """Object, Source and ForcedSource."""
    sky, visits, all_ = survey.sky, survey.visits, measured(survey, block)
    where = placed(survey, sky["ra"], sky["dec"])
    objects: Values = {
        "objectId": ids(block, np.arange(len(sky["ra"]))),
        "coord_ra": where["ra"],
        "coord_dec": where["dec"],
        "refExtendedness": sky["extended"].astype(float),
        "extendedness": sky["extended"].astype(float),
        "refBand": np.full(len(sky["ra"]), "r"),
        "detect_isPrimary": np.ones(len(sky["ra"]), bool),
    }
    for band in BANDS:
        error = flux(np.float64(DEPTHS[band])) / 5 / np.sqrt(max(1, (visits["band"] == band).sum()))
        objects[f"{band}_psfFlux"] = flux(sky[f"{band}_mag"]) + error * survey.noise.normal(size=len(sky["ra"]))
        objects[f"{band}_psfFluxErr"] = np.full(len(sky["ra"]), error)
        objects[f"{band}_psfMag"] = sky[f"{band}_mag"]
        objects[f"{band}_ra"], objects[f"{band}_dec"] = where["ra"], where["dec"]
    forced = {
        "objectId": objects["objectId"][all_["object"]],
        "visit": visits["visit"][all_["visit"]],
        "detector": all_["detector"],
        "band": visits["band"][all_["visit"]],
        "coord_ra": where["ra"][all_["object"]],
        "coord_dec": where["dec"][all_["object"]],
        "psfFlux": all_["flux"],
        "psfFluxErr": all_["error"],
        "psfDiffFlux": all_["difference"],
        "psfDiffFluxErr": all_["error"],
    }
    bright = all_["flux"] > 5 * all_["error"]
    seen = {name: values[bright] for name, values in forced.items() if name not in ("objectId", "psfDiffFlux")}
    again = placed(survey, seen["coord_ra"], seen["coord_dec"])
    seen |= {"sourceId": all_["number"][bright], "ra": again["ra"], "dec": again["dec"]}
    seen |= {"coord_ra": again["ra"], "coord_dec": again["dec"]}
    return {"Object": objects, "Source": seen, "ForcedSource": forced}


def changing_tables(survey: Survey, block: int) -> Mapping[str, Values]:
    """DiaObject, DiaSource, DiaForcedSource, their neighbours, the Solar System tables and the alerts."""
    sky, visits, all_ = survey.sky, survey.visits, measured(survey, block)
    varies = ~np.isnan(sky["period"][all_["object"]])
    forced = {name: values[varies] for name, values in all_.items()}
    bright = np.abs(forced["difference"]) > 5 * forced["error"]
    seen = {name: values[bright] for name, values in forced.items()}
    where = placed(survey, sky["ra"][seen["object"]], sky["dec"][seen["object"]])
    variable = np.unique(forced["object"])
    names = dict(zip(variable.tolist(), ids(block, variable).tolist(), strict=True))
    called = np.vectorize(names.get, otypes=[np.int64])
    sources: Values = {
        "diaSourceId": seen["number"],
        "diaObjectId": called(seen["object"]),
        "visit": visits["visit"][seen["visit"]],
        "detector": seen["detector"],
        "band": visits["band"][seen["visit"]],
        "midpointMjdTai": visits["mjd"][seen["visit"]],
        "timeProcessedMjdTai": visits["mjd"][seen["visit"]] + 40 / 86400,
        "ra": where["ra"],
        "dec": where["dec"],
        "x": seen["x"],
        "y": seen["y"],
        "psfFlux": seen["difference"],
        "psfFluxErr": seen["error"],
        "scienceFlux": seen["flux"],
        "scienceFluxErr": seen["error"],
        "snr": np.abs(seen["difference"]) / seen["error"],
        "isNegative": seen["difference"] < 0,
        "ssObjectId": np.zeros(len(where["ra"]), np.int64),
    }
    solar, moving = solar_tables(survey, block)
    every = {name: np.concatenate([sources[name], moving[name]]) for name in sources}
    return {
        "DiaObject": variables(survey, variable, called, seen),
        "DiaSource": every,
        "DiaForcedSource": {
            "diaForcedSourceId": forced["number"],
            "diaObjectId": called(forced["object"]),
            "ra": sky["ra"][forced["object"]],
            "dec": sky["dec"][forced["object"]],
            "visit": visits["visit"][forced["visit"]],
            "detector": forced["detector"],
            "band": visits["band"][forced["visit"]],
            "midpointMjdTai": visits["mjd"][forced["visit"]],
            "timeProcessedMjdTai": visits["mjd"][forced["visit"]] + 1,
            "psfFlux": forced["difference"],
            "psfFluxErr": forced["error"],
            "scienceFlux": forced["flux"],
            "scienceFluxErr": forced["error"],
        },
        "DiaObject_To_Object_Match": {
            "diaObjectId": called(variable),
            "objectId": ids(1, variable),
            "dist": np.abs(0.05 * survey.noise.normal(size=len(variable))),
            "lnP": -survey.noise.exponential(1, len(variable)),
            "kind": np.where(sky["extended"][variable], "G", "S"),
            "rank": np.ones(len(variable), int),
            "releaseName": np.full(len(variable), "dr1"),
        },
        "AlertArchive": {
            "alertId": every["diaSourceId"],
            "issuedMjdTai": every["midpointMjdTai"] + 55 / 86400,
            "packet_sha256": np.array(
                [hashlib.sha256(str(each).encode()).hexdigest() for each in every["diaSourceId"].tolist()]
            ),
            **{name: every[name] for name in ("diaSourceId", "diaObjectId", "ssObjectId", "visit", "detector")},
            **{name: every[name] for name in ("midpointMjdTai", "ra", "dec", "band")},
        },
        **solar,
    }


def variables(survey: Survey, variable: np.ndarray, called: np.vectorize, seen: Values) -> Values:
    """DiaObject: one row, still valid, for each variable object."""
    sky, mjd = survey.sky, survey.visits["mjd"]
    bands = survey.visits["band"][seen["visit"]]
    found: Values = {
        "diaObjectId": called(variable),
        "validityStartMjdTai": np.full(len(variable), mjd[-1] + 0.5),
        "ra": sky["ra"][variable],
        "dec": sky["dec"][variable],
        "nDiaSources": np.array([(seen["object"] == each).sum() for each in variable]),
    }
    for band in BANDS:
        mine = [seen["difference"][(seen["object"] == each) & (bands == band)] for each in variable]
        found[f"{band}_psfFluxNdata"] = np.array([len(each) for each in mine])
        found[f"{band}_psfFluxMean"] = np.array([each.mean() if len(each) else np.nan for each in mine])
        found[f"{band}_psfFluxSigma"] = np.array([each.std() if len(each) > 1 else np.nan for each in mine])
    return found


def solar_tables(survey: Survey, block: int) -> tuple[Mapping[str, Values], Values]:
    """SSObject, SSSource and mpc_orbits, and the rows that asteroids add to DiaSource."""
    rocks = survey.asteroids
    count = len(rocks["a"])
    number = ids(block, np.arange(count) + 2**40)
    objects = np.arange(count, dtype=np.int64) + 10_000
    where = SkyCoord(rocks["ra"] * u.deg, rocks["dec"] * u.deg)
    seen = placed(survey, rocks["ra"], rocks["dec"])
    brightness = flux(rocks["v_mag"])
    last = len(survey.visits["mjd"]) - 1
    moving: Values = {
        "diaSourceId": number,
        "diaObjectId": np.zeros(count, np.int64),
        "visit": np.full(count, survey.visits["visit"][last]),
        "detector": np.arange(count) % SENSORS,
        "band": np.full(count, survey.visits["band"][last]),
        "midpointMjdTai": np.full(count, survey.visits["mjd"][last]),
        "timeProcessedMjdTai": np.full(count, survey.visits["mjd"][last] + 1),
        "ra": seen["ra"],
        "dec": seen["dec"],
        "x": survey.noise.uniform(0, 4072, count),
        "y": survey.noise.uniform(0, 4000, count),
        "psfFlux": brightness,
        "psfFluxErr": 0.01 * brightness + 100,
        "scienceFlux": brightness,
        "scienceFluxErr": 0.01 * brightness + 100,
        "snr": brightness / (0.01 * brightness + 100),
        "isNegative": np.zeros(count, bool),
        "ssObjectId": objects,
    }
    orbits = {
        "id": np.arange(count) + 1,
        "designation": rocks["designation"],
        "packed_primary_provisional_designation": rocks["designation"],
        "unpacked_primary_provisional_designation": rocks["designation"],
        "q": rocks["a"] * (1 - rocks["e"]),
        "mean_anomaly": rocks["mean"],
        "mean_motion": rocks["motion"],
        "period": 360 / rocks["motion"],
        "epoch_mjd": rocks["epoch"],
        "earth_moid": rocks["moid"],
        **{name: rocks[name] for name in ("a", "e", "i", "node", "argperi", "h", "g")},
    }
    geometry = {f"{frame}_{axis}": rocks[frame][at] for frame in ("helio", "topo") for at, axis in enumerate("xyz")}
    sources = {
        "diaSourceId": number,
        "ssObjectId": objects,
        "designation": rocks["designation"],
        "eclLambda": where.barycentrictrueecliptic.lon.deg,
        "eclBeta": where.barycentrictrueecliptic.lat.deg,
        "galLon": where.galactic.l.deg,
        "galLat": where.galactic.b.deg,
        "ephRa": rocks["ra"],
        "ephDec": rocks["dec"],
        "ephVmag": rocks["v_mag"],
        "phaseAngle": rocks["phase"],
        "topoRange": rocks["topo_range"],
        "helioRange": rocks["helio_range"],
        "diaDistanceRank": np.ones(count, int),
        **geometry,
    }
    bodies: Values = {
        "ssObjectId": objects,
        "designation": rocks["designation"],
        "nObs": np.ones(count, int),
        "arc": np.zeros(count),
        "MOIDEarth": rocks["moid"],
        "tisserand_J": 5.2044 / rocks["a"]
        + 2 * np.cos(np.radians(rocks["i"])) * np.sqrt(rocks["a"] / 5.2044 * (1 - rocks["e"] ** 2)),
        "firstObservationMjdTai": moving["midpointMjdTai"],
    }
    return {"SSObject": bodies, "SSSource": sources, "mpc_orbits": orbits}, moving


def visit_tables(survey: Survey, block: int) -> Mapping[str, Values]:
    """Visits and exposures, whole and by sensor, difference images, calibrations, patches and telemetry."""
    visits = survey.visits
    count = len(visits["visit"])
    each, sensor = np.repeat(np.arange(count), SENSORS), np.tile(np.arange(SENSORS), count)
    sensor_ra = visits["ra"][each] + (sensor % 3 - 1) * SENSOR_SIZE
    sensor_dec = visits["dec"][each] + (sensor // 3 - 1) * SENSOR_SIZE
    corners = {
        f"{corner}{gap}{axis}": (sensor_ra, sensor_dec)[axis == "dec"] + sign * SENSOR_SIZE / 2
        for corner, signs in {"llc": (-1, -1), "lrc": (1, -1), "urc": (1, 1), "ulc": (-1, 1)}.items()
        for axis, sign in zip(("ra", "dec"), signs, strict=True)
        for gap in ("", "_")
    }
    common = {
        "visit": visits["visit"],
        "visitId": visits["visit"],
        "visit_id": visits["visit"],
        "exposure_id": visits["visit"],
        "day_obs": visits["day_obs"],
        "seq_num": visits["seq_num"],
        "band": visits["band"],
        "physical_filter": np.char.add(visits["band"], "_57"),
        "ra": visits["ra"],
        "dec": visits["dec"],
        "s_ra": visits["ra"],
        "s_dec": visits["dec"],
        "skyRotation": visits["rotation"],
        "sky_rotation": visits["rotation"],
        "altitude": visits["altitude"],
        "azimuth": visits["azimuth"],
        "zenithDistance": 90 - visits["altitude"],
        "zenith_distance": 90 - visits["altitude"],
        "airmass": 1 / np.cos(np.radians(90 - visits["altitude"])),
        "expTime": np.full(count, 30.0),
        "exp_time": np.full(count, 30.0),
        "shut_time": np.full(count, 30.0),
        "dark_time": np.full(count, 31.0),
        "darkTime": np.full(count, 31.0),
        "seeing": visits["seeing"],
        "dimm_seeing": visits["seeing"] * 0.9,
        "magLim": visits["depth"],
        "exposure_name": np.array(
            [f"MC_O_{day}_{seq:06d}" for day, seq in zip(visits["day_obs"], visits["seq_num"], strict=True)]
        ),
        "controller": np.full(count, "O"),
        "img_type": np.full(count, "science"),
        "n_exp_in_visit": np.ones(count, int),
        "dut1": np.full(count, 0.05),
        "filter_central_wl": np.array([WAVELENGTHS[band] for band in visits["band"]]),
    }
    for name, shift in (("Start", 0.0), ("Midpt", 15.0), ("End", 30.0)):
        time = visits["mjd"] + shift / 86400
        for stem in (f"obs{name}", f"exp{name}", f"obs_{name.lower()}", f"exp_{name.lower()}"):
            common |= {stem: moments(time), f"{stem}MJD": time, f"{stem}_mjd": time}
    by_sensor: Values = {name: values[each] for name, values in common.items()} | corners
    by_sensor |= {"ra": sensor_ra, "dec": sensor_dec, "detector": sensor}
    by_sensor["ccdexposure_id"] = by_sensor["visit"] * 1000 + sensor
    by_sensor["diffImageId"] = ids(block, np.arange(len(each)))
    telemetry = np.arange(24 * 6)
    return {
        "Visit": common,
        "VisitDetector": by_sensor,
        "Exposure": common,
        "ExposureDetector": by_sensor,
        "DifferenceImage": by_sensor,
        "CalibrationProduct": calibrations(block),
        "CoaddPatches": {
            "lsst_tract": np.full(54, 9813),
            "lsst_patch": np.repeat(np.arange(9), 6),
            "s_ra": CENTRE[0] + (np.repeat(np.arange(9), 6) % 3 - 1) * 0.2,
            "s_dec": CENTRE[1] + (np.repeat(np.arange(9), 6) // 3 - 1) * 0.2,
            "band": np.tile(BANDS, 9),
            "coadd_kind": np.full(54, "deep"),
        },
        "EfdTopic": {
            "topic": np.full(len(telemetry), "ESS.temperature"),
            "field": np.full(len(telemetry), "temperatureItem0"),
            "unit": np.full(len(telemetry), "deg_C"),
            "ts_tai": moments(START + telemetry / 144),
            "received_at": moments(START + telemetry / 144 + 1 / 86400),
            "value_num": 11 + 3 * np.sin(telemetry / 23),
            "day_obs": np.full(len(telemetry), visits["day_obs"][0]),
        },
    }


def calibrations(block: int) -> Values:
    """One product of each of the six kinds that must be kept, for each sensor, valid for a month."""
    kinds = np.array(["crosstalk", "bias", "dark", "flat_mono", "flat_broadband", "illumination"])
    count = len(kinds) * SENSORS
    return {
        "calib_id": ids(block, np.arange(count)),
        "calib_type": np.repeat(kinds, SENSORS),
        "instrument": np.full(count, "MiniCam"),
        "detector": np.tile(np.arange(SENSORS), len(kinds)),
        "valid_from": moments(np.full(count, START - 1)),
        "valid_to": moments(np.full(count, START + 29)),
        "n_inputs": np.full(count, 20),
        "certified": np.ones(count, bool),
    }


def moments(mjd: np.ndarray) -> np.ndarray:
    """MJD as timestamps of the same scale."""
    return np.datetime64("1858-11-17", "us") + np.round(mjd * 86_400_000_000).astype("timedelta64[us]")


# --- columns --------------------------------------------------------------------------------------


def arrow(table: Table, values: Values, noise: np.random.Generator) -> pa.Table:
    """All columns of ``table``, in its order: those that are known, and the others by their kind."""
    rows = len(next(iter(values.values())))
    arrays = [
        known(column, values[column.name]) if column.name in values else filled(column, rows, noise)
        for column in table.columns
    ]
    return pa.table(arrays, names=[column.name for column in table.columns])


def known(column: Column, values: np.ndarray) -> pa.Array:
    """``values`` as the column's Arrow type; an unknown number is null."""
    kind = arrow_type(column)
    if values.dtype.kind == "f":
        wide = pa.array(values, from_pandas=True)
        return wide.cast(kind, safe=False)
    if column.name in ("ssObjectId", "diaObjectId") and column.nullable:
        return pa.array(values, kind, mask=values == 0)
    return pa.array(values.tolist() if values.dtype.kind == "U" else values).cast(kind)


def filled(column: Column, rows: int, noise: np.random.Generator) -> pa.Array:
    """Values that a column of this kind could have; text that nothing depends on is unknown."""
    kind = arrow_type(column)
    if column.datatype is Datatype.BOOLEAN:
        return pa.array(noise.uniform(0, 1, rows) < 0.02)
    if column.is_timestamp or column.arraysize is not None:
        return pa.array([None if column.nullable else ""] * rows, kind)
    if column.datatype.is_integer:
        ranges = {True: (0, 1), False: (1, 50)}["parent" in column.name.lower() or column.name.startswith("ss")]
        drawn = noise.integers(*ranges, rows)
        return pa.array(drawn, mask=(drawn == 0) & column.nullable).cast(kind)
    scale = {"deg": 1e-5, "nJy": 800.0, "mag": 0.05, "arcsec": 0.5}.get(column.unit or "", 1.0)
    return pa.array(np.abs(scale * noise.lognormal(0, 0.4, rows))).cast(kind, safe=False)


# --- a release ------------------------------------------------------------------------------------


def write(release: Release, survey: Survey, folder: Path) -> None:
    """Make and write every table of ``release``."""
    block = release.id_block or 0
    made = {**sky_tables(survey, block), **changing_tables(survey, block), **visit_tables(survey, block)}
    for table in release.schema.tables:
        rows = arrow(table, made[table.name], survey.noise)
        pq.write_table(rows, folder / f"{release.name}.{table.name}.parquet")
        print(f"{release.name}.{table.name}: {rows.num_rows} rows, {rows.num_columns} columns")


def main() -> None:
    """The first release has the first half of the visits, the second all; live data are those of the last nights."""
    told = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    told.add_argument("folder", type=Path)
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--objects", type=int, default=600)
    told.add_argument("--visits", type=int, default=80)
    told.add_argument("--asteroids", type=Path, default=ASTEROIDS, help="query result of the JPL Small-Body Database")
    asked = told.parse_args()
    noise = np.random.default_rng(asked.seed)
    sky, visits = make_sky(noise, asked.objects), make_visits(noise, asked.visits)
    rocks = make_asteroids(asked.asteroids, 200, float(visits["mjd"][-1]))
    asked.folder.mkdir(parents=True, exist_ok=True)
    spans = {"dr1": slice(0, asked.visits // 2), "dr2": slice(None), "prompt": slice(-20, None)}
    for number, (name, span) in enumerate(spans.items()):
        release = read_release(ROOT / "schema" / "lsst" / f"{name}.yaml", thorough=False)
        seen = {key: values[span] for key, values in visits.items()}
        write(release, Survey(np.random.default_rng([asked.seed, number]), sky, seen, rocks), asked.folder)


if __name__ == "__main__":
    main()

"""Files of every product type, made as observatories make them: headers in their words, a few pixels behind."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import fastavro
import numpy as np
from astropy.io import fits

Cards = Mapping[str, Any]

TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 53.0,
    "CRVAL2": -28.0,
    "CRPIX1": 8.5,
    "CRPIX2": 6.5,
    "CD1_1": -5.5e-5,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 5.5e-5,
    "RADESYS": "ICRS",
}

LSST: Cards = {
    "TIMESYS": "TAI",
    "DATE": "2026-03-01T04:06:00.1",
    "DATE-BEG": "2026-03-01T04:05:06.789",
    "DATE-END": "2026-03-01T04:05:36.911",
    "OBSID": "MC_O_20260228_000123",
    "GROUPID": "2026-03-01T04:05:00.000",
    "IMGTYPE": "OBJECT",
    "TELESCOP": "Simonyi Survey Telescope",
    "INSTRUME": "LSSTCam",
    "DETECTOR": "R22_S11",
    "OBJECT": "ddf_ecdfs",
    "FILTER": "r_57",
    "FILTBAND": "r",
    "EXPTIME": (30.0, "Exposure time in seconds"),
    "SHUTTIME": (30.122, "Shutter exposure time in seconds"),
    "DARKTIME": (30.9, "Dark time in seconds"),
    "DUT1": (0.0213, "[s] UT1 - UTC"),
    "SEEING": (0.71, "[arcsec] Seeing from FWHM DIMM measurement"),
    "TRANSPAR": 0.93,
    "AIRTEMP": (11.5, "[degC] Air Temperature"),
    "PRESSURE": (74310.0, "[Pa] Atmospheric Pressure"),
    "HUMIDITY": (21.0, "Percentage of Relative Humidity"),
    "WINDSPD": (4.5, "[m/s] Wind Speed"),
    "WINDDIR": (310.0, "[deg] Wind Direction"),
    "OBS-LONG": (-70.749417, "[deg] Observatory east longitude"),
    "OBS-LAT": (-30.244639, "[deg] Observatory latitude"),
    "OBS-ELEV": (2663.0, "[m] Observatory elevation"),
    "RASTART": 53.1250,
    "DECSTART": -28.1000,
    "RADESYS": "ICRS",
    "ROTPA": 12.25,
    "AZSTART": (251.0, "[deg] Telescope azimuth angle at start"),
    "ELSTART": (63.5, "[deg] Telescope altitude at start"),
    "AMSTART": 1.117,
    "FOCUSZ": (-0.35, "[mm] Focus Z position from MTHexapod"),
    "TRACKSYS": "RADEC",
    "AOSDOF1": 0.01,
    "AOSDOF2": -0.02,
    "DOMEAZ": 250.5,
    "DOMESTAT": "OPEN",
    "TELSTAT": "TRACKING",
    "SHUTLOWR": 0.1,
    "SHUTUPPR": 749.9,
    "ZERN4": 0.03,
    "CCDTEMP": -100.1,
    "SEQFILE": "FP_E2V_2s_l3cp_v30.seq",
    "PROGRAM": "BLOCK-365",
    "REASON": "field_survey_science",
    "CURINDEX": 1,
    "MAXINDEX": 2,
}

ESO: Cards = {
    "INSTRUME": "FORS2",
    "TELESCOP": "ESO-VLT-U1",
    "OBJECT": "NGC 253",
    "RA": (11.888002, "[deg] 00:47:33.1 RA (J2000) pointing"),
    "DEC": (-25.28822, "[deg] -25:17:17.5 DEC (J2000) pointing"),
    "EQUINOX": 2000.0,
    "RADECSYS": "FK5",
    "EXPTIME": 119.9989,
    "MJD-OBS": (59000.25, "Obs start"),
    "DATE-OBS": ("2020-05-31T06:00:00.000", "Observing date"),
    "ARCFILE": "FORS2.2020-05-31T06:00:00.000.fits",
    "HIERARCH ESO OBS PROG ID": "105.20AB.001",
    "HIERARCH ESO OBS ID": 2780001,
    "HIERARCH ESO TPL NEXP": 5,
    "HIERARCH ESO TPL EXPNO": 2,
    "HIERARCH ESO DPR TYPE": "OBJECT",
    "HIERARCH ESO DPR CATG": "SCIENCE",
    "HIERARCH ESO INS FILT1 NAME": "R_SPECIAL",
    "HIERARCH ESO DET CHIP1 ID": "CCID20-14-5-3",
    "HIERARCH ESO DET READ MODE": "normal",
    "HIERARCH ESO TEL AMBI FWHM START": 0.81,
    "HIERARCH ESO TEL AMBI TEMP": (11.2, "[C] temperature"),
    "HIERARCH ESO TEL AMBI PRES START": (743.13, "[hPa]"),
    "HIERARCH ESO TEL AMBI RHUM": 7.0,
    "HIERARCH ESO TEL AMBI WINDSP": 5.7,
    "HIERARCH ESO TEL AMBI WINDDIR": 25.0,
    "HIERARCH ESO TEL GEOLON": -70.4051,
    "HIERARCH ESO TEL GEOLAT": -24.6276,
    "HIERARCH ESO TEL GEOELEV": 2648.0,
    "HIERARCH ESO TEL AIRM START": 1.043,
    "HIERARCH ESO TEL ALT": 73.6,
    "HIERARCH ESO TEL AZ": 20.1,
    "HIERARCH ESO TEL DOME STATUS": "FULLY-OPEN",
    "HIERARCH ESO TEL FOCU VALUE": -20.05,
    "HIERARCH ESO TEL TRAK STATUS": "NORMAL",
    "HIERARCH ESO ADA POSANG": 0.0,
    "HIERARCH ESO INS TEMP1 VAL": 280.2,
}

DIFFERENCE: Cards = {
    **TAN,
    "TIMESYS": "TAI",
    "DATE": "2026-03-02T00:00:00",
    "DATE-BEG": "2026-03-01T04:05:06.789",
    "DATE-END": "2026-03-01T04:05:36.911",
    "EXPTIME": 30.0,
    "OBSID": "MC_O_20260228_000123",
    "INSTRUME": "LSSTCam",
    "DETECTOR": "R22_S11",
    "FILTBAND": "r",
    "PIPELINE": "ip_diffim",
    "PIPEVERS": "w_2026_08",
    "SCIENCE": "archive://rubin.example/dr1/pvi/123.fits",
    "TEMPLATE": "archive://rubin.example/dr1/template/9813-40.fits",
    "CONVOLVE": "template",
}

BIAS: Cards = {
    "CALTYPE": "bias",
    "INSTRUME": "LSSTCam",
    "DETECTOR": "R22_S11",
    "TIMESYS": "TAI",
    "DATE": "2026-03-02T00:00:00",
    "DATE-BEG": "2026-02-28T20:00:00",
    "DATE-END": "2026-02-28T20:10:00",
    "VALIDBEG": "2026-03-01T00:00:00",
    "VALIDEND": "2026-04-01T00:00:00",
    "NCOMBINE": 3,
    "INPUT001": "archive://rubin.example/raw/bias1.fits",
    "INPUT002": "archive://rubin.example/raw/bias2.fits",
    "INPUT003": "archive://rubin.example/raw/bias3.fits",
    "CALIN1": "archive://rubin.example/calib/crosstalk.fits",
    "PARAM1": "clip 5 sigma",
    "PIPELINE": "cp_pipe",
    "PIPEVERS": "w_2026_08",
    "SEQFILE": "FP_E2V_2s_l3cp_v30.seq",
}


def header(cards: Cards) -> fits.Header:
    """Cards as a header, in their order."""
    made = fits.Header()
    for keyword, value in cards.items():
        made[keyword] = value
    return made


def packed(hdus: Iterable[Any], *, checksum: bool = True) -> bytes:
    """HDUs as the bytes of a file."""
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream, checksum=checksum, output_verify="exception")
    return stream.getvalue()


def pixels(*shape: int) -> Any:
    """An image with a gradient in it, of shape (rows, columns)."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def image(cards: Cards, *, extensions: Iterable[Any] = (), checksum: bool = True) -> bytes:
    """A file with an image in its first HDU."""
    return packed([fits.PrimaryHDU(pixels(12, 16), header(cards)), *extensions], checksum=checksum)


def mosaic(cards: Cards = LSST, segments: int = 2, *, compressed: bool = True) -> bytes:
    """A raw exposure as a camera with several amplifiers writes it: no pixels in the first HDU."""
    kind = fits.CompImageHDU if compressed else fits.ImageHDU
    parts = [kind(pixels(12, 16), header(TAN), name=f"SEGMENT{number:02d}") for number in range(segments)]
    return packed([fits.PrimaryHDU(header=header(cards)), *parts])


def alerts(count: int, *, codec: str = "deflate", version: str = "7.1") -> bytes:
    """An Avro file of alerts."""
    schema = fastavro.parse_schema(
        {
            "type": "record",
            "namespace": "lsst.v7_1",
            "name": "alert",
            "version": version,
            "fields": [{"name": "alertId", "type": "long"}, {"name": "cutout", "type": ["null", "bytes"]}],
        }
    )
    stream = io.BytesIO()
    records = [{"alertId": number, "cutout": bytes(range(256)) * 8} for number in range(count)]
    fastavro.writer(stream, schema, records, codec=codec, sync_interval=4096)
    return stream.getvalue()

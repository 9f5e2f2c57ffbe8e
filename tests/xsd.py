"""The schemas of the standards as XML Schema, taken from stilts, which carries them. None of them is ours to ship."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from lxml import etree

JAR = Path("/usr/share/java/starlink-ttools.jar")
_FOLDER = "uk/ac/starlink/ttools/taplint/"
_FILES = {
    "http://www.ivoa.net/xml/VOResource/v1.0": "VOResource-v1.1.xsd",
    "http://www.ivoa.net/xml/VODataService/v1.1": "VODataService-v1.2.xsd",
    "http://www.ivoa.net/xml/TAPRegExt/v1.0": "TAPRegExt-v1.0-Erratum1.xsd",
    "http://www.ivoa.net/xml/VOSICapabilities/v1.0": "VOSICapabilities-v1.0.xsd",
    "http://www.ivoa.net/xml/VOSIAvailability/v1.0": "VOSIAvailability-v1.0.xsd",
    "http://www.ivoa.net/xml/VOSITables/v1.0": "VOSITables-v1.1.xsd",
    "http://www.ivoa.net/xml/UWS/v1.0": "UWS-v1.1.xsd",
    "http://www.ivoa.net/xml/STC/stc-v1.30.xsd": "stc-v1.30.xsd",
    "http://www.w3.org/1999/xlink": "xlink.xsd",
    "http://www.w3.org/XML/1998/namespace": "xmlnamespace.xsd",
}
_IMPORT = re.compile(r'<xs:import\b[^>]*?namespace="([^"]+)"[^>]*?/?>', re.DOTALL)


def schema(folder: Path) -> etree.XMLSchema:
    """One schema for all documents of VOSI, TAPRegExt and UWS; ``folder`` takes the files."""
    with zipfile.ZipFile(JAR) as jar:
        for name in _FILES.values():
            text = jar.read(_FOLDER + name).decode("utf-8")
            (folder / name).write_text(_IMPORT.sub(_local, text), encoding="utf-8")
    imports = "".join(f'<xs:import namespace="{space}" schemaLocation="{name}"/>' for space, name in _FILES.items())
    driver = folder / "all.xsd"
    driver.write_text(f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>', encoding="utf-8")
    return etree.XMLSchema(etree.parse(driver, etree.XMLParser(no_network=True)))


def _local(match: re.Match[str]) -> str:
    """An import that finds its schema in the folder, not in the network."""
    closing = "/>" if match[0].endswith("/>") else ">"
    return f'<xs:import namespace="{match[1]}" schemaLocation="{_FILES[match[1]]}"{closing}'

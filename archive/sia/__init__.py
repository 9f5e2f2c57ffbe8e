"""Simple Image Access 2.0: finds images and cubes by position, time, energy, polarisation and what they are."""

from archive.sia.face import SiaFace

__all__ = ["SiaFace"]

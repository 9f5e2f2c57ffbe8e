"""Words for the sky: shapes in ICRS degrees, intervals, and HEALPix coverage."""

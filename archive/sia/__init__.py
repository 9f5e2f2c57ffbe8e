"""Simple Image Access 2.0: finds images and other data products by position, time, energy and kind."""

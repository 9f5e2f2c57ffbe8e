"""The backbone: how files and tables come in, are kept and are shown. One noun or one verb for each module."""

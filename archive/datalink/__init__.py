"""DataLink 1.1 and SODA 1.0: from a dataset's identifier to its files, previews, siblings and cut-outs."""

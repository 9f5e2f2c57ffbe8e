"""Steps from one layout to the next, a folder for each store."""

"""End to end: a real server process, asked by the clients astronomers use."""

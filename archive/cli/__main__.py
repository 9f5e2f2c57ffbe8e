"""``python -m archive.cli``: the command, for processes that start another one of themselves."""

from archive.cli import main

main()

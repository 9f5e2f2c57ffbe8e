"""``python -m bench [NAME...]``: run the claims about speed, each in a process of its own, and show what they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

_AS_OTHERS = {"ARCHIVE_NICENESS": "0", **os.environ}  # what is compared goes at the same priority


def claims() -> dict[str, Path]:
    """Name -> script of each claim: every file here whose name does not start with an underscore."""
    return {path.stem: path for path in sorted(HERE.glob("*.py")) if not path.name.startswith("_")}


def main(wanted: list[str]) -> int:
    """Run the claims named, or all; the exit status is 1 if one of them did not run to its end."""
    known = claims()
    unknown = sorted(set(wanted) - known.keys())
    if unknown:
        print(f"no such claim: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in wanted or known:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=HERE.parent, env=_AS_OTHERS).returncode:
            failed.append(name)
    if failed:
        print(f"\ndid not run to the end: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

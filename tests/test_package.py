"""The wheel holds all that the archive needs to run: modules, descriptions, templates, migrations."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for folder in ("archive", "schema"):
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    wanted = {path.relative_to(tree).as_posix() for path in (tree / "archive").rglob("*") if path.is_file()}
    wanted |= {f"archive/{path.relative_to(tree).as_posix()}" for path in (tree / "schema").rglob("*.yaml")}

    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    done = subprocess.run([*build, str(tree)], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as shipped:
        names = {name for name in shipped.namelist() if not name.startswith("archive-")}
        assert names == wanted
        assert "archive/schema/dr1.yaml" in names

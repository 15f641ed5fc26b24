"""Builds a copy of the extension in which every call that allocates can be made to fail.

    python tests/nomem/build.py TREE [PYTHON]

TREE becomes a copy of what is needed of the checkout, for `cd TREE && PYTHON -m tests.nomem`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PARTS = ("csrc", "toolboxsio", "tests/conftest.py", "tests/unit", "tests/nomem")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
HERE = "tests/nomem"


def build(tree, python=sys.executable):
    """Make the tree; the compiler's words when it fails."""
    tree = Path(tree).resolve()
    shutil.rmtree(tree, ignore_errors=True)
    skip = shutil.ignore_patterns("*.so", "__pycache__")
    for name in (*PARTS, *FILES):
        source, target = TOP / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=skip)
        else:
            shutil.copy2(source, target)
    include = _run(tree, python, "-c", "import sysconfig; print(sysconfig.get_path('include'))")
    flags = ("-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden")
    compiler = os.environ.get("CC", "gcc").split()
    _run(
        tree, *compiler, *flags, f"-I{include.strip()}", "-c", f"{HERE}/inject.c", "-o", "inject.o"
    )
    env = {
        "CFLAGS": f"-include {tree / HERE / 'inject.h'}",
        "LDFLAGS": str(tree / "inject.o"),
        "TOOLBOXSIO_DEBUG": "1",
    }
    _run(tree, python, "setup.py", "-q", "build_ext", "--inplace", **env)
    return tree


def _run(tree, *command, **env):
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, **env}, capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    build(*sys.argv[1:])

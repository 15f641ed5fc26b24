"""Compiles every file of csrc/ for the systems that wheels are built for, on this one.

    python tests/portable/build.py FOLDER [TARGET...]

The compiler is clang, as the package ziglang brings it with the headers of each system. GNU's
extensions to C are errors, as MSVC has none of them. Python's headers are those of this
interpreter, and their pyconfig.h is this one's, too, but on Windows.
FOLDER/bin gets a compiler with the name of each target, for `make -C tests/c run CC=TARGET`.
"""

import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
TARGETS = (
    "x86_64-linux-gnu.2.17",
    "aarch64-linux-gnu.2.17",
    "x86_64-linux-musl",
    "aarch64-linux-musl",
    "x86_64-macos",
    "aarch64-macos",
    "x86_64-windows-gnu",
)
STRICT = ("-std=c11", "-pedantic-errors", "-Wvla", "-Wall", "-Wextra", "-Wconversion", "-Wshadow")


def headers(folder, target):
    """Python's headers for a target: links, and a pyconfig.h."""
    include = folder / target / "include"
    include.mkdir(parents=True, exist_ok=True)
    for path in Path(sysconfig.get_path("include")).iterdir():
        link = include / path.name
        if path.name != "pyconfig.h" and not link.exists():
            link.symlink_to(path)
    own = Path(sysconfig.get_config_h_filename()).read_text()
    if "windows" in target:
        own = (HERE / "pyconfig_windows.h").read_text()
    (include / "pyconfig.h").write_text(own)
    return include


def compile_file(source, folder, target, include):
    """What the compiler says of a file; nothing when all is well."""
    wanted = (
        folder / target / (source.relative_to(TOP / "csrc").as_posix().replace("/", "-") + ".o")
    )
    command = [str(folder / "bin" / target), *STRICT, "-Werror", "-O2"]
    command += [f"-I{TOP / 'csrc'}", "-isystem", str(include), "-c", str(source), "-o", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"{target}: {source.name}:\n{done.stderr}"


def compiler(folder, target):
    """An executable that is the C compiler of a target."""
    path = folder / "bin" / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang cc -target {target} "$@"\n')
    path.chmod(0o755)
    return path


def main(folder, *targets):
    folder = Path(folder).resolve()
    sources = sorted((TOP / "csrc").rglob("*.c"))
    failures = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for target in targets or TARGETS:
            compiler(folder, target)
            include = headers(folder, target)
            words = pool.map(lambda s, t=target, i=include: compile_file(s, folder, t, i), sources)
            wrong = [word for word in words if word]
            failures += len(wrong)
            print(
                f"{target}: {len(sources) - len(wrong)} of {len(sources)} files compile", flush=True
            )
            print("".join(wrong), end="")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

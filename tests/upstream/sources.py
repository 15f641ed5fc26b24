"""The source distributions whose tests are run, and folders of packages that only they need.

Downloaded with pip, which checks each file against the SHA-256 that the index gives, and for the
versions listed here against the one given here. Kept in build/upstream/.
"""

import fcntl
import hashlib
import importlib.metadata
import subprocess
import sys
import tarfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / "build" / "upstream"
PACKAGES = ("python-engineio", "python-socketio")
SHA256 = {
    (
        "python-engineio",
        "4.15.1",
    ): "1a412e798a90c64fabe7b20798939ae6d4a03f34da8a33d5a21a25a8bbbc3612",
    (
        "python-socketio",
        "5.18.1",
    ): "07ab0e7c94a52833a67af1dc05958ad6fb0de69adc87de9198a61b22588c40d4",
    ("uvicorn", "0.35.0"): "bc662f087f7cf2ce11a1d7fd70b90c9f98ef2e2831556dd078d131b96cc94a01",
    ("uvicorn", "0.54.0"): "a2e33cbfaa0306f8e6b0c13e0cb89d7d7a2da3e62b90c66e18c33d9807b28620",
}


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words, "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"pip {' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")


def _download(package: str, version: str, target: Path) -> None:
    wanted = f"{package}=={version}"
    pinned = SHA256.get((package, version))
    requirements = target / "requirements.txt"
    requirements.write_text(wanted + (f" --hash=sha256:{pinned}\n" if pinned else "\n"))
    _pip("download", "--no-binary", package, "--dest", str(target), "-r", str(requirements))


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(target, filter="data")
        else:
            tar.extractall(target)


def source_of(package: str, version: str | None = None) -> Path:
    """The unpacked source distribution of a package; of the installed version by default."""
    version = version or importlib.metadata.version(package)
    target = CACHE / f"{package}-{version}"
    tree = target / f"{package.replace('-', '_')}-{version}"
    archive = target / f"{tree.name}.tar.gz"
    stamp = target / "sha256"
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            _download(package, version, target)
            _unpack(archive, target)
            stamp.write_text(hashlib.sha256(archive.read_bytes()).hexdigest())
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != SHA256.get((package, version), stamp.read_text()):
            raise RuntimeError(f"{archive} has changed; remove {target}")
    return tree


def folder_of(*requirements: str) -> Path:
    """A folder for PYTHONPATH that holds exactly these packages, without their dependencies."""
    wanted = "\n".join((*requirements, sys.implementation.cache_tag or "", ""))
    target = CACHE / f"packages-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    stamp = target / "requirements.txt"
    CACHE.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            _pip("install", "--upgrade", "--target", str(target), *requirements)
            stamp.write_text(wanted)
    return target

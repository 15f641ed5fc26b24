"""Install the npm packages of this directory once: `python tests/js/npm.py`.

`npm ci` runs when node_modules is missing or was made from another lock file.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLDEST_NODE = 18


def ensure() -> str:
    """Return the path of node; afterwards the packages of package-lock.json are installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise RuntimeError("node and npm are needed: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
    major = re.match(r"v(\d+)\.", version.stdout)
    if major is None or int(major[1]) < OLDEST_NODE:
        raise RuntimeError(f"node {OLDEST_NODE} or newer is needed, found {version.stdout.strip()}")
    with open(HERE / "package-lock.json", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come here at once
        digest = hashlib.sha256(lock.read()).hexdigest()
        stamp = HERE / "node_modules" / ".installed-from"
        if not stamp.exists() or stamp.read_text() != digest:
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=240)
            if done.returncode != 0:
                raise RuntimeError(f"npm ci failed:\n{done.stdout}\n{done.stderr}")
            stamp.write_text(digest)
    return node


if __name__ == "__main__":
    ensure()

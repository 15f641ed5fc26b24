"""`python -m benchmarks instructions`: how many instructions the C path takes for a fixed script.

counted.py runs under valgrind's callgrind, whose count does not depend on what else the machine
does: two runs agree to less than a percent. The last record is results/instructions.json; an item
that takes more than TOLERANCE more than there is a regression. A count depends on the compiler, the
interpreter and the CPU: where they differ from the record's, that is said.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from toolboxsio import _core
from toolboxsio.bench import environment
from toolboxsio.bench.ratios import aligned

from . import records

PATH = records.FOLDER / "instructions.json"
TOLERANCE = 0.03
MARKER = "getppid"
SECONDS = 600
#: Always the same, as is the layout of memory (setarch -R, ids from a fixed seed): how much is
#: copied depends on it, and how long malloc looks for room.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "PATH": os.defpath,
    "MALLOC_TOP_PAD_": str(1 << 26),  # room to grow in place
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
}


def totals(folder):
    """What callgrind counted between markers, in its order."""
    found = {}
    for path in folder.glob("out.*"):
        part = re.search(r"^part: (\d+)$", text := path.read_text(), re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if part and total:
            found[int(part[1])] = int(total[1])
    return [found[part] for part in sorted(found)]


def script(*under):
    """Runs what is counted, as it is or under a command; what it printed."""
    done = subprocess.run(
        [*under, sys.executable, "-m", "benchmarks.counted"],
        cwd=records.ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join([*under, 'benchmarks.counted'])} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def count():
    """{item: instructions each time}."""
    script()  # so that all modules are compiled
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tool = [shutil.which("valgrind"), "--tool=callgrind", f"--dump-before={MARKER}"]
        items = script("setarch", "-R", *tool, f"--callgrind-out-file={folder}/out")
        counted = totals(folder)
    between = counted[1::2]  # a part ends at each marker: what came before an item, the item, ...
    if len(between) != len(items):
        raise SystemExit(f"{len(counted)} parts for {len(items)} items")
    return {
        name: round(total / times)
        for (name, times), total in zip(items.items(), between, strict=True)
    }


def tools():
    """What a count depends on besides the code."""
    said = subprocess.run(["valgrind", "--version"], check=True, capture_output=True, text=True)
    built = re.findall(
        rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", Path(_core.__file__).read_bytes()
    )
    return {
        "python": f"{platform.python_version()}, {platform.python_compiler()}",
        "compiler": built[0].decode() if built else "unknown",
        "valgrind": said.stdout.strip(),
        "libc": " ".join(platform.libc_ver()),
        "cpu": environment.cpu_model(),
        "machine": platform.machine(),
    }


def compare(record, items):
    """(lines of a table, the names of what takes too much more, or is new or gone)."""
    rows, wrong = [], []
    for name in dict.fromkeys((*record, *items)):
        before, now = record.get(name), items.get(name)
        if before is None or now is None:
            change = "is new" if before is None else "is gone"
            wrong.append(f"{name} {change}: record it")
        else:
            change = f"{now / before - 1:+.2%}"
            if now > before * (1 + TOLERANCE):
                wrong.append(f"{name}: {change}")
        shown = ["-" if number is None else f"{number:,}" for number in (before, now)]
        rows.append([name, *shown, change])
    return aligned(["instructions", "record", "now", "change"], rows), wrong


def write(items):
    records.write(PATH, {"kind": "instructions", **records.environment(), "tools": tools(),
                         "items": items})  # fmt: skip


def run(record, say):
    """Counts, and compares with the last record or writes one; the exit status."""
    if not record and not PATH.exists():
        raise SystemExit(f"{PATH} is missing: make instructions RECORD=1")
    items = count()
    if record:
        write(items)
        say(f"record: {PATH}")
        return 0
    last = records.read(PATH, "instructions")
    differing = [
        f"{k}: {last['tools'][k]}, here {v}" for k, v in tools().items() if last["tools"][k] != v
    ]
    lines, wrong = compare(last["items"], items)
    print("\n".join(lines))
    for what in differing:
        say(f"the record was made with another {what}")
    for what in wrong:
        say(f"more than {TOLERANCE:.0%} more instructions, or not comparable: {what}")
    return 1 if wrong else 0

"""What valgrind's memcheck says of the extension: `python tests/e2e/memcheck.py REPORT.xml...`

Python itself, and what else is in its process, is not judged, with one exception: a system call
that is given bytes which nobody has written, since what is sent comes from the extension.
"""

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

EXTENSION = re.compile(r"/toolboxsio/_core\..*\.so$")
ERROR = re.compile(r"<error>.*?</error>", re.DOTALL)


def errors(report: Path) -> Iterator[tuple[str, list[str], bool]]:
    """(kind, frames, whether it is ours) of each error, also in a report that was cut off."""
    for found in ERROR.finditer(report.read_text(errors="replace")):
        if "<kind>Leak_" in found[0]:  # told of all that Python keeps; test_leaks.py counts leaks
            continue
        error = ET.fromstring(found[0])
        kind = error.findtext("kind", "")
        frames = [frame for stack in error.iter("stack") for frame in stack.iter("frame")]
        is_here = any(EXTENSION.search(frame.findtext("obj", "")) for frame in frames)
        is_ours = is_here or kind == "SyscallParam"
        words = [
            f"{frame.findtext('fn')} ({frame.findtext('file') or frame.findtext('obj')}:"
            f"{frame.findtext('line', '')})"
            for frame in frames
        ]
        yield kind, words, is_ours


def judge(reports: list[Path]) -> int:
    """Print the errors that are ours, and a line about all; return how many are."""
    total = ours = 0
    for report in reports:
        for kind, words, is_ours in errors(report):
            total += 1
            if is_ours:
                ours += 1
                print(report.name, kind, *words, sep="\n    ")
    print(f"memcheck: {len(reports)} processes, {total} errors, {ours} of them in the extension")
    return ours


if __name__ == "__main__":
    paths = [Path(name) for name in sys.argv[1:]]
    sys.exit(1 if not paths or judge(paths) else 0)

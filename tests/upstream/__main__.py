"""python -m tests.upstream [--control] [--package NAME] [pytest's arguments]"""

import argparse
import sys

from .run import run
from .sources import PACKAGES


def main() -> int:
    """Print what the runs printed, and a line of figures for each; 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream")
    parser.add_argument("--control", action="store_true", help="with upstream's own classes")
    parser.add_argument("--package", choices=PACKAGES, help="the tests of this package only")
    options, arguments = parser.parse_known_args()
    is_good = True
    for package in [options.package] if options.package else PACKAGES:
        result = run(package, control=options.control, arguments=tuple(arguments))
        print(result["output"])
        for problem in result["problems"]:
            print(f"PROBLEM {problem}")
        kinds = ("passed", "failed", "different", "skipped", "deselected")
        figures = (f"{len(result[kind])} {kind}" for kind in kinds)
        print(f"{package}{' (control)' if options.control else ''}: {', '.join(figures)}")
        is_good &= result["exit"] == 0 and not result["problems"]
    return 0 if is_good else 1


sys.exit(main())

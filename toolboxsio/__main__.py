"""`python -m toolboxsio`."""

import sys

from toolboxsio.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""What fuzz targets in Python share; imported by host.c, which has toolboxsio._core built in."""

import importlib
import logging
import sys
from importlib.machinery import BuiltinImporter
from importlib.util import spec_from_loader
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
CORE = "toolboxsio._core"


class _BuiltIn:
    """Finds the extension in this executable, before the one that is installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return spec_from_loader(name, BuiltinImporter) if name == CORE else None


def load(name):
    """The function that is given the inputs of a target."""
    sys.meta_path.insert(0, _BuiltIn)
    sys.path[1:1] = [str(TOP), str(TOP / "tests"), str(TOP / "tests" / "unit")]
    logging.disable()
    core = importlib.import_module(CORE)
    assert core.__spec__.loader is BuiltinImporter
    return importlib.import_module(f"fuzz_{name}").one_input


class Input:
    """The bytes of an input, taken from its front; behind its end come zeros."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def __bool__(self):
        return self.at < len(self.data)

    def byte(self):
        if self.at >= len(self.data):
            return 0
        self.at += 1
        return self.data[self.at - 1]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def take(self, size):
        taken = self.data[self.at : self.at + size]
        self.at += len(taken)
        return taken

    def piece(self):
        """Some bytes: the number of them, below 128 by one byte, else by two, then they."""
        size = self.byte()
        if size >= 128:
            size = (size & 127) << 8 | self.byte()
        return self.take(size)

    def rest(self):
        return self.take(len(self.data))

    def pick(self, choices):
        return choices[self.byte() % len(choices)]

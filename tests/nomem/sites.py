"""The calls of the build of `make nomem` that can fail."""

import importlib.machinery
import importlib.util
import re
from pathlib import Path


def load(top):
    """The module `nomem` of inject.c, which lies in the same file as toolboxsio._core."""
    [path] = Path(top).glob("toolboxsio/_core*.so")
    loader = importlib.machinery.ExtensionFileLoader("nomem", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("nomem", loader))
    loader.exec_module(module)
    return module


class Site:
    """One call. In a header it stands once, however many files include it."""

    def __init__(self, name, file, line, function):
        self.name = name
        self.function = function
        self.file = file.removeprefix("csrc/")
        self.floor = self.file.split("/")[0]
        self.places = []
        self.hits = 0
        lines = Path(file).read_text().splitlines()
        self.text = " ".join(text.strip() for text in lines[line - 1 : line + 1])
        #: The caller has made room before: the call cannot fail.
        self.has_room = re.search(rf"\(void\)\s*{function}\(", lines[line - 1]) is not None

    def is_like(self, key):
        """Whether it is meant by "file: part of the line"."""
        file, _, part = key.partition(": ")
        return self.file == file and part in self.text


class Sites:
    """All sites, and how often each was come to."""

    def __init__(self, nomem):
        found = {}
        seen = {}
        for place, (unit, file, line, function, _, hits) in enumerate(nomem.sites()):
            name = f"{file.removeprefix('csrc/')}:{line} {function}"
            seen[unit, name] = seen.get((unit, name), 0) + 1
            if seen[unit, name] > 1:
                name += f" #{seen[unit, name]}"
            if name not in found:
                found[name] = Site(name, file, line, function)
            found[name].places.append(place)
            found[name].hits += hits
        self.sites = sorted(found.values(), key=lambda site: site.name)

    def since(self, before):
        """Names and hits of those that were come to since then."""
        pairs = zip(self.sites, before.sites, strict=True)
        return {now.name: now.hits - then.hits for now, then in pairs if now.hits > then.hits}

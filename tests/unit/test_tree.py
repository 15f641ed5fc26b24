"""The shape of the source tree: floors, sizes, the map of csrc/, what stands at the top."""

import re
from pathlib import Path

import pytest

FLOORS = ["base", "wire", "py", "codec", "http", "conn", "module.c"]
PLAIN_FLOORS = ("base", "wire")  # these know nothing of Python
TOP_NAMES = {
    *("pyproject.toml", "setup.py", "MANIFEST.in", "Makefile"),
    *("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"),
    *("csrc", "toolboxsio", "tests", "benchmarks"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
#: Somebody's home; what follows it is theirs.
HOME = r"/(?:root|(?:home|Users)/[\w.-]+)(?=/)"
MAX_FILE, MAX_FUNCTION = 800, 80


@pytest.fixture(scope="module")
def c_files(top, tracked):
    """The text of every C file of the extension, by its path below csrc/."""
    names = [name for name in tracked if re.match(r"csrc/.*\.[ch]$", name)]
    assert len(names) > 20
    return {name.removeprefix("csrc/"): (top / name).read_text() for name in names}


def floor(path):
    return FLOORS.index(path.split("/")[0])


def upward_includes(files):
    """`file includes header` for each include that goes to a higher floor, or that is not there."""
    wrong = []
    for path, text in files.items():
        for ours, system in INCLUDE.findall(text):
            if ours and (ours not in files or floor(ours) > floor(path)):
                wrong.append(f"{path} includes {ours}")
            if system == "Python.h" and path.startswith(PLAIN_FLOORS):
                wrong.append(f"{path} includes {system}")
    return wrong


def long_functions(files):
    """`file: lines name` of the functions over the limit whose comment does not say "long"."""
    wrong = []
    for path, text in files.items():
        lines = text.splitlines()
        opened = None
        for number, line in enumerate(lines):
            if line == "{":
                opened = number
            elif line == "}" and opened is not None:
                head = opened
                while head > 0 and lines[head - 1] not in ("", "}"):
                    head -= 1
                if number - opened > MAX_FUNCTION and "long" not in " ".join(lines[head:opened]):
                    wrong.append(f"{path}: {number - opened} {lines[opened - 1]}")
                opened = None
    return wrong


def test_includes_go_downwards(c_files):
    assert upward_includes(c_files) == []


def test_the_include_check_sees_what_it_should():
    files = {"base/a.h": "#include <Python.h>\n", "wire/b.c": '#include "codec/c.h"\n'}
    files["codec/c.h"] = '#include "base/a.h"\n# include "base/none.h"\n'
    assert upward_includes(files) == [
        "base/a.h includes Python.h",
        "wire/b.c includes codec/c.h",
        "codec/c.h includes base/none.h",
    ]


def test_functions_are_short_or_say_why(c_files):
    assert long_functions(c_files) == []


def test_the_length_check_sees_what_it_should():
    body = "int\nf(void)\n{\n" + "    x();\n" * MAX_FUNCTION + "}\n"
    assert long_functions({"base/a.c": "int y;\n\n" + body}) == [
        f"base/a.c: {MAX_FUNCTION + 1} f(void)"
    ]
    assert long_functions({"base/a.c": "/* As long as its table. */\n" + body}) == []
    assert long_functions({"base/a.c": body.replace("    x();\n", "", 1)}) == []


def test_files_are_short(top, tracked):
    sources = [name for name in tracked if re.match(r"(csrc|toolboxsio)/.*\.(c|h|py)$", name)]
    lengths = {name: len((top / name).read_text().splitlines()) for name in sources}
    generated = {name for name in sources if (top / name).read_text().startswith("/* Generated")}
    assert {n: size for n, size in lengths.items() if size > MAX_FILE and n not in generated} == {}


def test_c_files_open_with_their_name(c_files):
    wrong = [
        path
        for path, text in c_files.items()
        if not re.match(rf"/\* (Generated .*)?{re.escape(path.split('/')[-1])}", text)
    ]
    assert wrong == []


def off_the_map(text, files):
    """Files that the map does not name, and names on the map without a file.

    `base/buf` stands for its .c and .h; `_avx2` in the same row for the file with that suffix.
    """
    missing, idle = set(files), set()
    for row in text.splitlines():
        words = re.findall(r"`([^`]*)`", row)
        suffixes = ["", *(word for word in words if re.fullmatch(r"_\w+", word))]
        for word in words:
            if re.fullmatch(rf"(?:(?:{'|'.join(FLOORS[:-1])})/\w+|module)(?:\.[ch])?", word):
                stem, _, ext = word.partition(".")
                names = [stem + end + dot for end in suffixes for dot in (".c", ".h")]
                covered = set(files) & ({word} if ext else set(names))
                missing -= covered
                idle |= set() if covered else {word}
    return missing, idle


def test_the_map_names_every_file(top, c_files):
    assert off_the_map((top / "csrc" / "README.md").read_text(), c_files) == (set(), set())


def test_the_map_check_sees_what_it_should():
    text = "| `base/buf` | |\n| `wire/scan` | `_a` |\n| `py/gone` |\n| `base/num.h` |"
    files = ["base/buf.c", "base/buf.h", "wire/scan.c", "wire/scan_a.c", "wire/scan_b.c"]
    files += ["base/num.h", "base/num.c"]
    assert off_the_map(text, files) == ({"wire/scan_b.c", "base/num.c"}, {"py/gone"})


def test_nothing_else_at_the_top(tracked):
    names = {name.split("/")[0] for name in tracked}
    assert {name for name in names if not name.startswith(".")} == TOP_NAMES


def machine_paths(text, top):
    """Lines with the path of a home, or of where the checkout happens to be."""
    paths = [HOME]
    if len(top.parts) > 2:  # not /build, which may be anything
        paths.append(re.escape(str(top)) + r"\b")
    pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(paths)})")
    lines = enumerate(text.splitlines(), 1)
    return [f"{number}: {line.strip()}" for number, line in lines if pattern.search(line)]


def test_no_paths_of_one_machine(top, tracked):
    found = [
        f"{name}:{line}"
        for name in tracked
        if not name.endswith((".bin", ".png"))
        for line in machine_paths((top / name).read_text(errors="replace"), top)
    ]
    assert found == []


def test_the_check_of_paths_sees_what_it_should():
    top = Path("/", "srv", "someone", "tree")
    named = [("root", "x"), ("home", "some-one", "x"), ("Users", "Some.One", "x"), top.parts[1:]]
    for parts in named:
        line = f"cd {Path('/', *parts)} && make"
        assert machine_paths(f"first\n  {line}\n", top) == [f"2: {line}"]
    fine = "x/root/y /rooted /home/ ../home/a/b https://example.org/Users/a/b /srv/someone/treetop"
    assert machine_paths(fine, top) == []
    assert machine_paths("/build/x", Path("/build")) == []

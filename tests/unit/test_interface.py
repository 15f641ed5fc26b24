"""What C calls of this package's Python: declared alike in C, in Python and in the stub."""

import ast
import functools
import inspect
import re

import pytest

from toolboxsio import _failures, _handover, _interface, _polling, packet, plan, server
from toolboxsio.engine_socket import EngineSocket

ROW = re.compile(r'^    X\((\w+), (\w+), (\w+), "(\([^")]*\))?"\)', re.MULTILINE)

#: Where each protocol class is given to C: functions and their parameters or results, of the stub.
GIVEN = {
    "SessionInterface": {"Hub.connection socket"},
    "PostInterface": {"Connection.post post"},
    "WebServerInterface": {"Connection.attach server", "Connection.server return"},
    "MakePlan": {"Hub.__new__ make_plan"},
}

#: What of others is called by a name that is written at the call, in csrc/conn.
OTHERS = {
    *("get_write_buffer_size", "abort", "write_eof", "is_closed"),  # transports and event loops
    *("compress", "flush", "decompress", "eof"),  # zlib
    *("discard", "add_done_callback"),  # a set, a task
    *("_current_tasks", "_all_tasks"),  # asyncio.tasks
    *("_flush", "_pump", "_tick", "_raise"),  # the hub's own, in C
}

#: Private names in the module state: of bidict, nest_asyncio and packets, and what is watched.
PRIVATE = {"_fwdm", "_invm", "_nest_patched", "_placeholder", "_receive_encoded"}

#: Units of Py_BuildValue for what is no object.
UNITS = {"i": "int", "I": "int", "n": "int", "K": "int", "s": "str"}

#: A look-up by a name that is written at the call.
LOOK_UP = re.compile(
    r'\bPyObject_(?:CallMethod|GetAttrString|SetAttrString|HasAttrString)\(\s*[^";]*?,\s*"(\w+)"'
)

#: A look-up of any name on a session or a uvicorn server.
OF_OURS = re.compile(
    r"\bPyObject_\w*(?:Attr|Method)\w*\((?:\w+->)?(?:socket|server)\b[^;]*?\)(?=[; ])"
)


@pytest.fixture(scope="module")
def c_files(top):
    """The text of every C file, comments left out, by its path below csrc/."""
    paths = sorted((top / "csrc").rglob("*.[ch]"))
    texts = {path.relative_to(top / "csrc").as_posix(): path.read_text() for path in paths}
    return {
        name: re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        for name, text in texts.items()
        if name != "py/interface.h"
    }


@pytest.fixture(scope="module")
def rows(top):
    """The table: (id, protocol, name, arguments; None: an attribute)."""
    rows = ROW.findall((top / "csrc/py/interface.h").read_text())
    assert len(rows) > 10
    return [(id, owner, name, args[1:-1] if args else None) for id, owner, name, args in rows]


def declared():
    """What the protocol classes of Python have: (class, name) -> signature; None: an attribute."""
    found = {}
    for cls in map(vars(_interface).get, _interface.__all__):
        if getattr(cls, "_is_protocol", False):
            found |= {(cls.__name__, name): None for name in inspect.get_annotations(cls)}
            for name, method in vars(cls).items():
                if inspect.isfunction(method) and method.__module__ == _interface.__name__:
                    found[cls.__name__, name] = inspect.signature(functools.partial(method, None))
                    assert inspect.getdoc(method), name
    return found


def test_the_table_is_that_of_python(rows):
    table = {(owner, name): args for _, owner, name, args in rows}
    assert len(table) == len(rows)
    python = declared()
    assert table.keys() == python.keys()
    for key, args in table.items():
        if args is None:
            assert python[key] is None, key
            continue
        types = [each.annotation for each in python[key].parameters.values()]
        wanted = [UNITS.get(unit, type) for unit, type in zip(args, types, strict=True)]
        assert types == wanted, key
        assert "int" not in [type for unit, type in zip(args, types, strict=True) if unit == "O"]


def test_every_row_is_called(rows, c_files):
    text = "".join(c_files.values())
    uses = set(re.findall(r"(?:py_names\[|tbx_call_python\([^;]*?)TBX_PY_([A-Z_]+)", text))
    assert uses - {"NAMES"} == {id for id, *_ in rows}


def test_the_calls_have_the_arguments_of_their_rows(rows, c_files):
    wanted = {id: len(args) for id, _, _, args in rows if args is not None}
    seen = set()
    for name, text in c_files.items():
        for call in re.finditer(r"\btbx_call_python\(", text):
            arguments = split(text, call.end())
            found = re.fullmatch(r"TBX_PY_(\w+)", arguments[2])
            if found:  # else the declaration
                seen.add(found[1])
                assert len(arguments) - 3 == wanted[found[1]], (name, arguments)
    assert seen == wanted.keys()


def split(text, at):
    """The arguments of a call, from behind its parenthesis."""
    parts, depth = [""], 1
    while depth:
        char, at = text[at], at + 1
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 1:
            parts.append("")
        elif depth:
            parts[-1] += char
    return [" ".join(part.split()) for part in parts]


def stub_types(top):
    """`Class.function name` for each annotation of the stub, by the names in it."""
    found = {}
    for node in ast.parse((top / "toolboxsio/_core.pyi").read_text()).body:
        for function in getattr(node, "body", ()):
            if not isinstance(function, ast.FunctionDef):
                continue
            arguments = function.args.posonlyargs + function.args.args
            annotations = [(each.arg, each.annotation) for each in arguments]
            for name, annotation in [*annotations, ("return", function.returns)]:
                for part in ast.walk(annotation) if annotation else ():
                    if isinstance(part, ast.Name):
                        found.setdefault(part.id, set()).add(f"{node.name}.{function.name} {name}")
    return found


def test_the_stub_says_where_the_objects_come_from(top, rows):
    found = stub_types(top)
    owners = {owner for _, owner, *_ in rows}
    assert {owner: found[owner] for owner in owners & found.keys()} == GIVEN
    by_plan = owners - GIVEN.keys()  # what MakePlan returns, and within that
    assert by_plan == {"Acknowledge", "HandlePacket", "Report", "JSONInterface"}


def objects():
    """The class of ours for each protocol class; of callables the function, without self."""
    return {
        "SessionInterface": EngineSocket,
        "PostInterface": _polling.Post,
        "WebServerInterface": _handover.UvicornServer,
        "JSONInterface": packet.OwnJSON,
        "MakePlan": functools.partial(plan.make_plan, None),
        "HandlePacket": functools.partial(server.AsyncServer._handle_packet, None),
        "Acknowledge": functools.partial(server.AsyncServer._acknowledge, None),
        "Report": functools.partial(_failures.report, None),
    }


def test_our_classes_are_like_the_protocols():
    for (owner, name), signature in declared().items():
        ours = objects()[owner]
        found = ours if name == "__call__" else inspect.getattr_static(ours, name)
        if signature is None or isinstance(found, property):  # a property: the application's method
            continue
        if name != "__call__":
            found = functools.partial(found, None)
        inspect.signature(found).bind(*signature.parameters)
        returns_coroutine = signature.return_annotation.startswith("Coroutine[")
        assert inspect.iscoroutinefunction(found.func) == returns_coroutine, (owner, name)


def test_no_other_call_by_a_string(c_files):
    """By a name that is written at the call only what belongs to others is looked up."""
    conn = [text for name, text in c_files.items() if name.startswith("conn/")]
    assert {name for text in conn for name in LOOK_UP.findall(text)} == OTHERS


def test_the_names_of_the_state_are_those_of_others(c_files, rows):
    names = set(re.findall(r'\bX\(\w+, "([^"]*)"\)', c_files["py/state.h"]))
    assert {name for name in names if name.startswith("_")} == PRIVATE
    assert names.isdisjoint(name for _, _, name, _ in rows)


def test_sessions_are_asked_for_nothing_else(c_files):
    """Whatever the name: what is done with a session or a uvicorn server stands in the table."""
    uses = [use for text in c_files.values() for use in OF_OURS.findall(text)]
    assert uses == ["PyObject_GetAttr(socket, hub->state->py_names[TBX_PY_CONN])"]


def test_the_checks_see_what_they_should():
    assert LOOK_UP.findall('x = PyObject_CallMethod(f(a, b), "_name", NULL);') == ["_name"]
    assert OF_OURS.findall("PyObject_CallMethodNoArgs(conn->socket, state->str_send);") == [
        "PyObject_CallMethodNoArgs(conn->socket, state->str_send)"
    ]
    assert split('f, g(a, b), "c")', 0) == ["f", "g(a, b)", '"c"']
    assert ROW.findall('    X(A, B, _c, "(nO)")   \\\n    X(D, E, f, "")') == [
        ("A", "B", "_c", "(nO)"),
        ("D", "E", "f", ""),
    ]

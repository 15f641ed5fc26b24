"""More of app.py: a JSON of the application's, "own" in the configuration: see KINDS."""

import functools
import json
from typing import Any

import orjson


class Bytes:
    """Bytes, and what python-socketio gives to dumps()."""

    loads = staticmethod(json.loads)

    @staticmethod
    def dumps(value: Any, **options: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, **options).encode()


class Failing(Bytes):
    """Nothing but the OPEN packet fails."""

    @staticmethod
    def dumps(value: Any, **options: Any) -> bytes:
        if "pingInterval" in value:
            raise LookupError("not this one")
        return Bytes.dumps(value, **options)


class Nothing(Bytes):
    @staticmethod
    def dumps(value: Any, **options: Any) -> Any:
        return None


KINDS: dict[str, Any] = {"orjson": orjson, "bytes": Bytes, "failing": Failing, "nothing": Nothing}


def server_class(module: Any, config: dict[str, Any]) -> Any:
    return functools.partial(module.AsyncServer, json=KINDS[config["own"]])


def add(sio: Any, module: Any, seen: Any, web: Any, app: Any) -> Any:
    return app

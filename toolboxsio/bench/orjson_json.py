"""orjson as an application puts it behind `json=`."""

from typing import Any

import orjson


def dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value).decode()


def loads(text: str | bytes, **_: Any) -> Any:
    return orjson.loads(text)

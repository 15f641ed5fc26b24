"""orjson as an application puts it behind `json=`."""

import orjson


def dumps(value, **_):
    return orjson.dumps(value).decode()


def loads(text, **_):
    return orjson.loads(text)

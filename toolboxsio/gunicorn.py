"""gunicorn's worker for the direct path: `gunicorn -k toolboxsio.gunicorn.UvicornWorker app:app`.

Needs the packages gunicorn and uvicorn-worker (extra `gunicorn`).
"""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker as _UvicornWorker

from ._run import protocols

__all__ = ["UvicornWorker"]


class UvicornWorker(_UvicornWorker):  # type: ignore[misc, unused-ignore]
    """uvicorn's worker with ``http`` and ``ws`` as :func:`toolboxsio.run` sets them.

    Options of uvicorn are set as there: in ``CONFIG_KWARGS`` of a subclass.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **_UvicornWorker.CONFIG_KWARGS,
        **protocols(),
    }

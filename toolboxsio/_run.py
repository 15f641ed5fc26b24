"""``toolboxsio.run()`` and ``toolboxsio run``: uvicorn with this package's protocols as defaults.

Everything else is uvicorn's: its options, what it logs, its exit statuses.
"""

from __future__ import annotations

import copy
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._load import core, logger
from ._versions import problem

if TYPE_CHECKING:
    import click

__all__ = ["command", "protocols", "run"]

_HELP = "Serve APP, for example main:app, with uvicorn; the options are uvicorn's."
_HELP_DEFAULTS = """

Unless they are given, --http and --ws are toolboxsio's: a Socket.IO WebSocket leaves ASGI once it
is established and is served in C, and a request whose headers do not end is answered 408 after 60
seconds, 431 beyond 64 KiB.
"""


def protocols() -> dict[str, Any]:
    """The classes for uvicorn's options ``http`` and ``ws``.

    None without the C extension, and, with a WARNING, where uvicorn does not fit.
    """
    if core is None:
        return {}
    reason = problem("uvicorn")
    if reason is not None:
        logger.warning("WebSockets go through ASGI: %s", reason)
        return {}
    from .uvicorn import HTTPProtocol, WebSocketProtocol

    return {"http": HTTPProtocol, "ws": WebSocketProtocol}


def _import_uvicorn() -> ModuleType:
    try:
        import uvicorn
    except ImportError as exc:
        text = f"uvicorn cannot be imported ({exc}): pip install 'toolboxsio[uvicorn]'"
        raise ImportError(text, name="uvicorn") from exc
    return uvicorn


def run(app: Any, **options: Any) -> None:
    """Serve an ASGI application with uvicorn, Socket.IO WebSockets on the direct path.

    ``uvicorn.run()`` with ``http`` and ``ws`` set to :class:`toolboxsio.uvicorn.HTTPProtocol` and
    :class:`toolboxsio.uvicorn.WebSocketProtocol` unless they are given. Without the C extension it
    is plain ``uvicorn.run()``, and so it is, with a WARNING, for a uvicorn that does not fit.

    :param app: the application, or where to import it from (``"main:app"``), which ``reload`` and
        ``workers`` need.
    :param options: those of ``uvicorn.run()``.
    :raises ImportError: without uvicorn.
    :raises SystemExit: as ``uvicorn.run()``: 3 where the server could not start.
    """
    _import_uvicorn().run(app, **{**protocols(), **options})


def command() -> click.Command:
    """uvicorn's command line with the same defaults.

    :raises ImportError: without uvicorn.
    """
    theirs = _import_uvicorn().main
    import click
    from click.core import ParameterSource

    defaults = protocols()

    @click.pass_context
    def serve(context: click.Context, /, **options: Any) -> None:
        for name, protocol in defaults.items():
            if context.get_parameter_source(name) is ParameterSource.DEFAULT:
                options[name] = protocol
        context.invoke(theirs, **options)

    ours: click.Command = copy.copy(theirs)
    ours.callback = serve
    ours.help = _HELP + _HELP_DEFAULTS if defaults else _HELP
    ours.params = [copy.copy(parameter) for parameter in theirs.params]
    for option in ours.params:
        if isinstance(option, click.Option) and option.name in defaults:
            protocol = defaults[option.name]
            option.show_default = f"{protocol.__module__}:{protocol.__name__}"
    return ours

"""FastAPI beside the Socket.IO server, under one ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.trustedhost import TrustedHostMiddleware

import toolboxsio as socketio
from toolboxsio.backend.metrics import registry
from toolboxsio.backend.page import PAGE, add_page
from toolboxsio.backend.settings import Settings
from toolboxsio.backend.socketio_server import SocketServer

Message = dict[str, Any]


class Application:
    """The ASGI application; ``server`` has the handlers, ``api`` the routes of HTTP.

    ``TrustedHostMiddleware`` stands in front of both, of HTTP and WebSocket.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server = SocketServer(settings)
        self.api = _api(self.server)
        self.sio = self.server.sio
        self._app = TrustedHostMiddleware(
            socketio.ASGIApp(self.sio, other_asgi_app=self.api, socketio_path=settings.path),
            allowed_hosts=settings.trusted_hosts,
            www_redirect=False,
        )

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        await self._app(scope, receive, send)  # type: ignore[arg-type]


def create_app(settings: Settings | None = None) -> Application:
    """The application that `toolboxsio serve` runs.

    :raises pydantic.ValidationError: when the settings of the environment are not fit for it.
    """
    return Application(settings or Settings())


def _api(server: SocketServer) -> FastAPI:
    settings = server.settings

    @contextlib.asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        yield
        await server.close()

    docs = {} if settings.debug else {"openapi_url": None}
    api = FastAPI(title="ToolboxAI", version=socketio.__version__, lifespan=lifespan, **docs)  # type: ignore[arg-type]
    if settings.cors_origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=True,
            allow_methods=["GET"],
        )
    metrics = registry(server)

    @api.get("/health")
    async def health() -> Message:
        return {"status": "ok", "accelerated": socketio.ACCELERATED}

    @api.get("/socketio/status")
    async def status() -> Message:
        return server.status()

    @api.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    @api.get("/", include_in_schema=False)
    async def root() -> Response:
        if settings.debug:
            return RedirectResponse(PAGE)
        return JSONResponse(
            {"name": "ToolboxAI", "socketio": settings.path, "status": "/socketio/status"}
        )

    if settings.debug:
        add_page(api, settings)
    return api

"""FastAPI beside the Socket.IO server, under one ASGI application."""

from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

import toolboxsio as socketio
from toolboxsio.backend.settings import Settings
from toolboxsio.backend.socketio_server import SocketServer


def create_app(settings: Settings | None = None) -> socketio.ASGIApp:
    """The application that `toolboxsio serve` runs; its `.engineio_server` is the server."""
    settings = settings or Settings()
    server = SocketServer(settings)
    api = FastAPI(title="ToolboxAI", version=socketio.__version__)
    if settings.cors_origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=True,
            allow_methods=["GET"],
        )

    @api.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "accelerated": socketio.ACCELERATED}

    @api.get("/socketio/status")
    async def status() -> dict[str, Any]:
        return server.status()

    return socketio.ASGIApp(server.sio, other_asgi_app=api, socketio_path=socketio.SIO_PATH)

"""The ToolboxAI application: FastAPI and Socket.IO in one ASGI application (extra `backend`)."""

from toolboxsio.backend.app import Application, create_app
from toolboxsio.backend.settings import Settings

__all__ = ["Application", "Settings", "create_app"]

"""The ToolboxAI application: FastAPI and Socket.IO in one ASGI application (extra `backend`)."""

from toolboxsio.backend.app import create_app
from toolboxsio.backend.settings import Settings

__all__ = ["Settings", "create_app"]

"""Settings of the application, each from the environment variable SIO_<NAME>."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Lists are JSON in the environment: SIO_CORS_ORIGINS='["https://dashboard.example"]'."""

    model_config = SettingsConfigDict(env_prefix="SIO_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8008, ge=0, le=65535)
    cors_origins: list[str] = []
    """Origins of browsers that may connect; empty: the server's own origin alone."""
    ping_interval: float = Field(default=25, gt=0)
    ping_timeout: float = Field(default=60, gt=0)
    max_http_buffer_size: int = Field(default=1_000_000, gt=0)

"""Whose functions a connection may pass by, and whose not (toolboxsio/_bystanders.py)."""

import asyncio

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount

from toolboxsio import _bystanders
from toolboxsio._bystanders import behind

SCOPE = {"type": "websocket", "path": "/in/x", "root_path": "", "headers": []}


async def first(message):
    """The server's."""


async def receive():
    return {"type": "websocket.connect"}


def inner_send(*middleware, inside=None):
    """What an application is given that is mounted in another with this middleware."""
    found = []

    async def application(scope, receive, send):
        found.append(send)

    inner = application if inside is None else inside(application)
    outer = Starlette(routes=[Mount("/in", inner)], middleware=list(middleware))
    asyncio.run(outer({**SCOPE}, receive, first))
    [send] = found
    return send


def test_a_mounted_application():
    send = inner_send()
    assert send is not first
    assert behind(send) is first
    twice = inner_send(inside=lambda app: Starlette(routes=[Mount("/", app)]))
    assert behind(twice) is first


def test_middleware_of_http():
    sessions = Middleware(SessionMiddleware, secret_key="secret")
    cors = Middleware(CORSMiddleware, allow_origins=["*"])
    assert behind(inner_send(sessions, cors, Middleware(GZipMiddleware))) is first


def looking(app):
    async def application(scope, receive, send):
        async def send_wrapper(message):
            await send(message)

        await app(scope, receive, send_wrapper)

    return application


def test_others_are_not_passed_by():
    assert behind(first) is first
    assert behind(print) is print
    send = inner_send(Middleware(looking))
    assert behind(send).__qualname__ == "looking.<locals>.application.<locals>.send_wrapper"
    send = inner_send(inside=looking)
    assert behind(send) is send


def test_one_that_learns_about_websockets_is_not_passed_by(monkeypatch):
    send = looking_at_websockets(first)
    place = (send.__module__, send.__qualname__)
    monkeypatch.setattr(_bystanders, "_BYSTANDERS", {place})
    assert behind(send) is send
    send = looking_at_http(first)
    monkeypatch.setattr(_bystanders, "_BYSTANDERS", {(send.__module__, send.__qualname__)})
    assert behind(send) is first


def looking_at_websockets(send):
    async def send_wrapper(message):
        if message["type"] == "websocket.close":
            message = {**message, "code": 4000}
        await send(message)

    return send_wrapper


def looking_at_http(send):
    async def send_wrapper(message):
        if message["type"] == "http.response.start":
            message = {**message, "headers": []}
        await send(message)

    return send_wrapper

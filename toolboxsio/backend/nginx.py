"""The reverse proxy: what `toolboxsio nginx` prints."""

from __future__ import annotations

from toolboxsio.backend.settings import Settings

UPSTREAM = "fastapi_backend"

#: Connections to the workers that are kept for the next request.
KEEPALIVE = 64

#: Seconds: nobody is cut off for being silent for less than a day; pings come sooner.
PATIENCE = 86400

ACCESS_LOG = "/var/log/nginx/access.log"


def _address(host: str, port: int) -> str:
    if host in ("0.0.0.0", ""):
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def configuration(settings: Settings, listen: str = "80", access_log: str = ACCESS_LOG) -> str:
    """Return the configuration for the ``http`` block: ``/etc/nginx/conf.d/toolboxsio.conf``.

    With several workers a client's requests go to one worker, by its address: a session lives in
    one process. No query of a client gets into a log, for it may have a token: the access log is
    without, and errors, whose lines nginx always ends with the whole request, are not logged in
    the location of Socket.IO; the access log tells of them by their status.

    The port that browsers have in their header Origin is not in $host: X-Forwarded-Host has it.
    """
    servers = [f"server {_address(settings.host, port)};" for port in settings.ports]
    sticky = ["ip_hash;"] if len(servers) > 1 else []
    upstream = [*sticky, *servers, f"keepalive {KEEPALIVE};"]
    names = " ".join(settings.trusted_hosts) if "*" not in settings.trusted_hosts else "_"
    to_backend = [
        f"proxy_pass http://{UPSTREAM};",
        "proxy_http_version 1.1;",
    ]
    client = [
        "proxy_set_header Host $host;",
        "proxy_set_header X-Forwarded-Host $http_host;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
    ]
    socketio = [
        *to_backend,
        "proxy_set_header Upgrade $http_upgrade;",
        'proxy_set_header Connection "upgrade";',
        *client,
        f"proxy_read_timeout {PATIENCE};",
        f"proxy_send_timeout {PATIENCE};",
        "proxy_buffering off;",
        f"client_max_body_size {settings.max_http_buffer_size};",
        "error_log /dev/null emerg;",
    ]
    others = [*to_backend, 'proxy_set_header Connection "";', *client]
    lines = [
        "# Made by `toolboxsio nginx`; it belongs into the http block.",
        "log_format toolboxsio '$remote_addr - [$time_local] \"$request_method $uri\" '",
        "                      '$status $body_bytes_sent \"$http_user_agent\" $upstream_addr';",
        "",
        *_block(f"upstream {UPSTREAM}", upstream),
        "",
        "server {",
        f"    listen {listen};",
        f"    server_name {names};",
        f"    access_log {access_log} toolboxsio;",
        "",
        *_indented(_block(f"location {settings.path}", socketio)),
        "",
        "    location = /metrics {",
        "        return 404;",
        "    }",
        "",
        *_indented(_block("location /", others)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _block(head: str, lines: list[str]) -> list[str]:
    return [f"{head} {{", *_indented(lines), "}"]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]

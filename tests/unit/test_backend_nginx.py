"""toolboxsio/backend/nginx.py: the configuration as text; tests/integration has a real nginx."""

import re

import pytest

from toolboxsio.backend.nginx import configuration
from toolboxsio.backend.settings import Settings

#: What a location in front of WebSockets and polls has to have.
NEEDED = """
proxy_pass http://fastapi_backend;
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection "upgrade";
proxy_set_header Host $host;
proxy_read_timeout 86400;
proxy_send_timeout 86400;
proxy_buffering off;
"""


def settings(**given):
    given = {"trusted_hosts": ["api.example.com"], **given}
    return Settings(_env_file=None, jwt_secret="s" * 32, **given)


def block(text, head):
    """The lines of a block."""
    found = re.search(rf"^( *){re.escape(head)} {{\n(.*?)^\1}}\n", text, re.DOTALL | re.MULTILINE)
    assert found is not None, text
    return [line.strip() for line in found[2].splitlines()]


def test_the_location_has_every_line_that_is_needed():
    lines = block(configuration(settings()), "location /socket.io")
    assert set(NEEDED.strip().splitlines()) <= set(lines)
    assert len(lines) == len(set(lines))


def test_one_worker_needs_no_stickiness():
    lines = block(configuration(settings(port=9000)), "upstream fastapi_backend")
    assert lines == ["server 127.0.0.1:9000;", "keepalive 64;"]


def test_each_worker_has_its_port_and_each_address_its_worker():
    lines = block(configuration(settings(port=9000, workers=4)), "upstream fastapi_backend")
    ports = [f"server 127.0.0.1:{port};" for port in range(9000, 9004)]
    assert lines == ["ip_hash;", *ports, "keepalive 64;"]


def test_workers_that_share_a_port_are_one_server():
    lines = block(configuration(settings(workers=4, sticky=False)), "upstream fastapi_backend")
    assert lines == ["server 127.0.0.1:8008;", "keepalive 64;"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "127.0.0.1:8008"),
        ("::", "[::1]:8008"),
        ("::1", "[::1]:8008"),
        ("2001:db8::7", "[2001:db8::7]:8008"),
        ("10.0.0.7", "10.0.0.7:8008"),
        ("backend", "backend:8008"),
    ],
)
def test_the_host_is_where_the_workers_are_reached(host, address):
    assert f"server {address};" in block(
        configuration(settings(host=host)), "upstream fastapi_backend"
    )


def test_trusted_hosts_are_the_names_of_the_server():
    hosts = ["api.example.com", "*.example.org", "[::1]"]
    lines = block(configuration(settings(trusted_hosts=hosts)), "server")
    assert "server_name api.example.com *.example.org [::1];" in lines
    anyone = settings(trusted_hosts=["*"], debug=True)
    assert "server_name _;" in block(configuration(anyone), "server")


def test_the_path_and_the_size_of_the_settings():
    text = configuration(settings(path="/realtime/io", max_http_buffer_size=12345))
    assert "client_max_body_size 12345;" in block(text, "location /realtime/io")
    assert "location /socket.io" not in text


def test_where_it_listens_and_logs():
    lines = block(configuration(settings(), "443 ssl", "/tmp/access.log"), "server")
    assert "listen 443 ssl;" in lines
    assert "access_log /tmp/access.log toolboxsio;" in lines
    text = configuration(settings())
    assert "listen 80;" in block(text, "server")
    assert "access_log /var/log/nginx/access.log toolboxsio;" in block(text, "server")


def test_no_query_is_logged():
    text = configuration(settings())
    log_format = text[text.index("log_format") : text.index("upstream")]
    variables = set(re.findall(r"\$\w+", log_format))
    assert variables.isdisjoint({"$request", "$request_uri", "$args", "$query_string"})
    assert variables.isdisjoint({"$http_referer", "$http_authorization"})
    assert "error_log /dev/null emerg;" in block(text, "location /socket.io")


def test_metrics_are_not_passed_on():
    assert block(configuration(settings()), "location = /metrics") == ["return 404;"]

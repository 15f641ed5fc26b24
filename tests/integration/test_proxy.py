"""nginx in front of one worker and of four: transports, stickiness, and what becomes of workers."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import trustme

from tests.e2e.harness import wait_until
from tests.e2e.machine import HOST, NIGHTLY, free_ports
from tests.e2e.redis_process import RedisProcess

from .proxying import (
    Clients,
    ask,
    configure,
    is_running,
    peers,
    printed,
    proxying,
    receive,
    request,
    web_socket,
    worker_processes,
)
from .serving import PRODUCTION, Backend, Polling, serving, token

pytestmark = pytest.mark.timeout(120)

#: Local addresses that `ip_hash`, which looks at three octets, sends to workers 1, 2, 3, 0 of four.
ADDRESSES = [f"127.{number}.0.1" for number in range(1, 5)]
IDLE_SECONDS = 6
NIGHTLY_SECONDS = 300
QUERY = "/socket.io/?EIO=4&transport=polling"


class Site:
    """An application behind nginx."""

    def __init__(self, backend, proxy, workers):
        self.backend = backend
        self.proxy = proxy
        self.ports = [backend.port + index for index in range(workers)]

    def sessions(self):
        """How many clients each worker has."""
        counts = []
        for port in self.ports:
            code, body = request(port, "/socketio/status")
            assert code == 200
            counts.append(json.loads(body)["connected"])
        return counts

    def has_sessions(self, counts):
        wait_until(f"the workers have {counts} sessions", lambda: self.sessions() == counts)


@contextlib.contextmanager
def deployed(workers, **settings):
    """The application with so many workers, as its own words say to deploy it."""
    with contextlib.ExitStack() as stack:
        options = ["--workers", str(workers)]
        if workers > 1:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            options += ["--redis", stack.enter_context(RedisProcess(folder)).url]
        port = free_ports(workers)
        backend = stack.enter_context(serving(port, *options, **settings))
        for index in range(workers):
            ready(port + index)
        at = ["--port", str(port)]
        proxy = stack.enter_context(proxying(free_ports(1), *at, *options, **settings))
        yield Site(backend, proxy, workers)


def ready(port):
    def answers():
        with contextlib.suppress(OSError):
            return request(port, "/health")[0] == 200

    wait_until(f"a worker serves port {port}", answers, 20)


@pytest.fixture(scope="module", params=[1, 4], ids=["1 worker", "4 workers"])
def site(request):
    with deployed(request.param, SIO_PING_INTERVAL="1") as site:
        yield site


@pytest.fixture(scope="module")
def clients():
    clients = Clients()
    yield clients
    clients.close()


@pytest.fixture
def name(request):
    """A name for a client."""
    return request.node.name


def check_acks(clients, name):
    """Each acknowledgement is that of what was asked."""
    for number in range(20):
        ack = clients.ask(name, "message", {"type": f"note-{number}", "payload": "x" * number})
        assert (ack["ok"], ack["type"]) == (True, f"note-{number}")
    ack = clients.ask(name, "subscribe", {"channels": ["a", "b"]})
    assert (ack["ok"], ack["channels"], ack["total"]) == (True, ["a", "b"], 2)
    ack = clients.ask(name, "quiz_response", {"quiz_id": 1, "answers": [{"selected": 1}]})
    assert (ack["ok"], ack["error"]) == (False, "invalid_format")
    ack = clients.ask(name, "progress_update", {"text": "\u00e9\u65e5" * 100_000})
    assert (ack["ok"], ack["event"]) == (True, "progress_update")


@pytest.mark.parametrize(
    ("transports", "last"),
    [
        (["websocket", "polling"], "websocket"),
        (["polling"], "polling"),
        (["polling", "websocket"], "websocket"),
    ],
    ids=["websocket", "polling", "upgrade"],
)
@pytest.mark.parametrize("slash", [True, False], ids=["slash", "no slash"])
def test_transports(site, clients, name, transports, last, slash):
    options = {"auth": {"token": token(name)}, "addTrailingSlash": slash}
    clients.open(name, site.proxy.url, *transports, address=ADDRESSES[0], **options)
    wait_until("upgraded", lambda: clients.state(name)["transport"] == last)
    check_acks(clients, name)
    state = clients.state(name)
    assert (state["transport"], state["connects"], state["disconnects"]) == (last, 1, [])
    events = [event for event, *_ in state["events"]]
    assert events == ["connected", *["message"] * 20]
    clients.do("close", name)
    site.has_sessions([0] * len(site.ports))


def test_emits_reach_the_clients_of_other_workers(site, clients, name):
    """By WebSocket and by polling; one of each for each worker."""
    with contextlib.ExitStack() as stack:
        raw = []
        for number, address in enumerate(ADDRESSES):
            teacher = token(f"raw-{number}", "teacher")
            raw.append(stack.enter_context(web_socket(site.proxy.port, teacher, address)))
            options = {"address": address, "auth": {"token": token(f"js-{number}", "teacher")}}
            clients.open(f"{name}-{number}", site.proxy.url, "polling", **options)
        site.has_sessions([8 // len(site.ports)] * len(site.ports))
        for number, client in enumerate(raw):
            assert ask(client, "subscribe", {"channel": "class"})["ok"] is True
            assert clients.ask(f"{name}-{number}", "subscribe", "class")["ok"] is True
        for number, client in enumerate(raw):
            client.send(f'42["broadcast",{{"channel":"class","data":{number}}}]')
        for number, client in enumerate(raw):
            others = {other for other in range(4) if other != number}
            assert {payload(receive(client)) for _ in others} == others

        def heard(number):
            events = clients.state(f"{name}-{number}")["events"]
            return {data["payload"] for event, data in events if event == "message"}

        for number in range(4):
            wait_until("broadcasts by polling", lambda number=number: heard(number) == {0, 1, 2, 3})
            clients.do("close", f"{name}-{number}")
    site.has_sessions([0] * len(site.ports))


def payload(packet):
    event, data = json.loads(packet.removeprefix("42"))
    assert event == "message"
    return data["payload"]


def stay_idle(site, clients, name, seconds, least_pings):
    """Nobody is cut off.

    The worker keeps connections without a request for longer than nginx, which does so for a
    minute: no POST meets one that is being closed.
    """
    link = http.client.HTTPConnection(HOST, site.backend.port, timeout=10)
    assert request(0, "/health", connection=link)[0] == 200
    began = time.monotonic()
    via_proxy = {"auth": {"token": token(name)}, "reconnection": False}
    clients.open(f"{name}-polling", site.proxy.url, "polling", **via_proxy)
    clients.open(f"{name}-websocket", site.proxy.url, "websocket", **via_proxy)
    pings = 0
    deadline = time.monotonic() + seconds
    with web_socket(site.proxy.port, token(name)) as client:
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                assert client.recv(left) == "2"
                client.send("3")
                pings += 1
            if time.monotonic() - began < 60:
                assert not select.select([link.sock], [], [], 0)[0], "closed by the worker"
        link.close()
        assert ask(client, "ping")["event"] == "ping"
    assert pings >= least_pings
    for transport in ("polling", "websocket"):
        assert clients.ask(f"{name}-{transport}", "message", {"type": "late"})["type"] == "late"
        state = clients.state(f"{name}-{transport}")
        assert (state["connects"], state["disconnects"]) == (1, [])
        clients.do("close", f"{name}-{transport}")


def test_idle_connections_stay(site, clients, name):
    stay_idle(site, clients, name, IDLE_SECONDS, 4)


@pytest.mark.skipif(not NIGHTLY, reason="takes five minutes")
@pytest.mark.timeout(NIGHTLY_SECONDS + 120)
def test_idle_connections_stay_for_minutes_with_the_default_settings(clients, name):
    with deployed(4) as site:
        stay_idle(site, clients, name, NIGHTLY_SECONDS, NIGHTLY_SECONDS // 25 - 1)


def test_connections_to_the_worker_are_used_again(site):
    """By polls and by other requests."""
    index = 0 if len(site.ports) == 1 else 1  # where ADDRESSES[0] is sent to
    address, port = ADDRESSES[0], site.proxy.port
    code, body = request(port, QUERY, address=address)
    assert code == 200, body
    base = f"{QUERY}&sid={json.loads(body[1:])['sid']}"
    before = peers(site.ports[index])
    assert before
    assert request(port, base, "40", address) == (200, "ok")
    while "42" not in "".join(p[:2] for p in request(port, base, address=address)[1].split("\x1e")):
        pass
    for number in range(30):
        posted = f'42{number}["ping"]'
        assert request(port, base, posted, address) == (200, "ok")
        packets = []
        while not any(packet.startswith(f"43{number}[") for packet in packets):
            code, body = request(port, base, address=address)
            assert code == 200
            packets = body.split("\x1e")
            if "2" in packets:
                assert request(port, base, "3", address) == (200, "ok")
        assert request(port, "/health", address=address)[0] == 200
    after = peers(site.ports[index])
    assert after
    assert after <= before, "connections have been opened"
    assert request(port, base, "1", address) == (200, "ok")


def test_the_own_origin_has_the_port_of_the_proxy(site):
    port = site.proxy.port
    for origin, expected in (
        (f"http://{HOST}:{port}", 200),
        (f"http://{HOST}:{port + 1}", 400),
        (f"https://{HOST}:{port}", 400),
        (f"http://{HOST}:{site.backend.port}", 400),
        ("http://elsewhere.example", 400),
        ("null", 400),
    ):
        assert request(port, QUERY, Origin=origin)[0] == expected, origin
    spoofed = {"Origin": "http://elsewhere.example", "X-Forwarded-Host": "elsewhere.example"}
    assert request(port, QUERY, **spoofed)[0] == 400
    with web_socket(port, origin=f"http://{HOST}:{port}") as client:
        assert ask(client, "authenticate", {"token": token()})["ok"] is True


def test_the_own_origin_over_tls(site, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    more = f"ssl_certificate {chain}; ssl_certificate_key {key};"
    options = ["--port", str(site.backend.port), "--workers", str(len(site.ports))]
    with proxying(free_ports(1), *options, listen=" ssl", more=more) as proxy:
        own = f"https://{HOST}:{proxy.port}"
        for origin, expected in ((own, 200), (own.replace("https", "http"), 400)):
            link = http.client.HTTPSConnection(HOST, proxy.port, timeout=10, context=context)
            with contextlib.closing(link):
                assert request(0, QUERY, connection=link, Origin=origin)[0] == expected, origin
        with web_socket(proxy.port, token(), ssl=context, origin=own) as client:
            assert ask(client, "message", {"type": "ping"})["type"] == "ping"


def test_metrics_are_not_for_everybody(site):
    for path in ("/metrics", "/metrics?x=1", "//metrics", "/%6detrics", "/x/../metrics"):
        assert request(site.proxy.port, path)[0] == 404, path
    code, body = request(site.ports[-1], "/metrics")
    assert (code, "toolboxsio_clients" in body) == (200, True)
    assert request(site.proxy.port, "/socketio/status")[0] == 200


def test_tokens_are_in_no_log(site, clients, name):
    secret = token("a user whose token is in the query")
    for transport in ("polling", "websocket"):
        clients.open(f"{name}-{transport}", site.proxy.url, transport, query={"token": secret})
        state = clients.state(f"{name}-{transport}")
        assert state["events"][0][1]["authenticated"] is True
        clients.do("close", f"{name}-{transport}")
    assert request(site.proxy.port, f"/nowhere?token={secret}")[0] == 404
    assert request(site.proxy.port, f"/metrics?token={secret}")[0] == 404
    too_large = "4" * 1_000_001
    assert request(site.proxy.port, f"{QUERY}&token={secret}", too_large)[0] == 413

    def log():
        return site.proxy.access_log.read_text()

    for line in ('"GET /socket.io/" 101 ', '"GET /nowhere" 404 ', '"POST /socket.io/" 413 '):
        wait_until(f"{line} in the log", lambda line=line: line in log())
    for text in (log(), site.proxy.error_log.read_text(), site.backend.log()):
        assert secret not in text
        assert secret[-40:] not in text


@pytest.mark.parametrize("site", [4], ids=["4 workers"], indirect=True)
def test_a_worker_that_is_killed_comes_again(site, clients, name):
    """Its clients connect again; those of the others are not disturbed; no token is logged."""
    secret = token("victim")
    victim, process = 1, worker_processes(site.backend)[1]
    for number, address in enumerate(ADDRESSES):
        for transport in ("polling", "websocket"):
            one = f"{name}-{transport}-{number}"
            options = {"address": address, "query": {"token": secret}}
            clients.open(one, site.proxy.url, transport, **options)
    site.has_sessions([2, 2, 2, 2])
    os.kill(process, signal.SIGKILL)
    wait_until(
        "another", lambda: worker_processes(site.backend).get(victim, process) != process, 20
    )
    ready(site.ports[victim])
    for transport in ("polling", "websocket"):
        one = f"{name}-{transport}-0"
        wait_until(
            "connected again",
            lambda one=one: (state := clients.state(one))["connected"] and state["connects"] > 1,
            20,
        )
        assert clients.ask(one, "message", {"type": "again"})["type"] == "again"
        assert set(clients.state(one)["disconnects"]) <= {"transport error", "transport close"}
    for number in range(1, 4):
        for transport in ("polling", "websocket"):
            one = f"{name}-{transport}-{number}"
            assert clients.ask(one, "message", {"type": "still"})["type"] == "still"
            state = clients.state(one)
            assert (state["connects"], state["disconnects"]) == (1, [])
    assert f"(process {process}) has ended with -9" in site.backend.log()
    for number in range(4):
        for transport in ("polling", "websocket"):
            clients.do("close", f"{name}-{transport}-{number}")
    logs = [log.read_text() for log in (site.proxy.access_log, site.proxy.error_log)]
    logs.append(site.backend.log())
    for text in logs:
        assert secret not in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_supervisor(number):
    port = free_ports(4)
    with ended(Backend(port, "--workers", "4", **PRODUCTION)) as backend:
        for index in range(4):
            ready(port + index)
        workers = worker_processes(backend)
        assert len(workers) == 4
        assert all(map(is_running, workers.values()))
        with web_socket(port, token()):
            backend.process.send_signal(number)
            code = backend.process.wait(20)
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0), backend.log()
        wait_until("the end of all", lambda: not any(map(is_running, workers.values())), 20)
        assert "Traceback" not in backend.log()


def test_workers_end_with_a_supervisor_that_goes_while_they_start():
    with ended(Backend(free_ports(4), "--workers", "4", **PRODUCTION)) as backend:
        wait_until("started", lambda: len(worker_processes(backend)) == 4, 20)
        backend.process.kill()
        workers = worker_processes(backend).values()
        wait_until("the end of all", lambda: not any(map(is_running, workers)), 20)


def test_a_worker_that_cannot_start_ends_all():
    port = free_ports(4)
    with (
        socket.create_server((HOST, port + 2)),
        ended(Backend(port, "--workers", "4", **PRODUCTION)) as backend,
    ):
        assert backend.process.wait(30) == 3
        log = backend.log()
        assert f"('{HOST}', {port + 2}): address already in use" in log
        assert "worker 2 cannot start: it has ended with 3" in log
        assert not any(map(is_running, worker_processes(backend).values()))


@contextlib.contextmanager
def ended(backend):
    """A server while the block runs, and none of its workers after it."""
    try:
        yield backend
    finally:
        workers = worker_processes(backend)
        backend.close()
        for process in filter(is_running, workers.values()):
            os.kill(process, signal.SIGKILL)


def test_without_stickiness_only_web_sockets_work(clients, name):
    port = free_ports(1)
    with serving(port, "--workers", "4", SIO_STICKY="false") as backend:
        log = backend.log()
        assert "set SIO_REDIS_URL=redis://" in log
        assert f"4 workers share port {port}: clients that poll" in log
        assert "remove SIO_STICKY=false and put the configuration of `toolboxsio nginx`" in log
        assert 'let clients connect with transports: ["websocket"]' in log
        for number in range(8):
            with web_socket(port, token()) as client:
                assert ask(client, "message", {"type": f"n{number}"})["type"] == f"n{number}"
        clients.open(name, backend.url, "websocket", auth={"token": token()})
        check_acks(clients, name)
        clients.do("close", name)

        def refusal():
            base = Polling(backend).base.removeprefix(backend.url)
            for _ in range(8):
                code, body = request(port, base, "40")
                if code != 200:
                    return code, json.loads(body)
            return None

        code, message = wait_until("a request reaches another worker", refusal, 20)
        assert code == 400
        assert message.startswith("Invalid session ")
        assert "requests of one client must reach the same worker" in message
        assert "`toolboxsio nginx`" in message
        assert 'transports: ["websocket"]' in message


@pytest.mark.parametrize(
    ("listen", "settings"),
    [
        ("127.0.0.1:1", {"SIO_HOST": "::1", "SIO_WORKERS": "3"}),
        ("[::1]:1", {"SIO_DEBUG": "true", "SIO_HOST": "0.0.0.0"}),
        ("127.0.0.1:1", {"SIO_TRUSTED_HOSTS": '["api.example.com", "*.example.org", "[::1]"]'}),
        ("127.0.0.1:1", {"SIO_PATH": "/realtime/socket", "SIO_STICKY": "false"}),
    ],
)
def test_nginx_accepts_the_configuration(tmp_path, listen, settings):
    if settings.get("SIO_DEBUG"):
        settings = {**settings, "SIO_TRUSTED_HOSTS": ""}
    text = printed("--listen", listen, "--access-log", str(tmp_path / "access.log"), **settings)
    command = [*configure(tmp_path, text), "-t"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr

"""A server whose every byte is written down, for the load generator of the benchmarks."""

import re
import socket
import threading
from contextlib import contextmanager, suppress

ACCEPT = b"Sec-WebSocket-Accept: ZePqfbqxX/CBF4PAT/mEG6AdUc0="  # of the load generator's key
UPGRADED = b"HTTP/1.1 101 \r\n" + ACCEPT + b"\r\n\r\n"


def frame(text, opcode=1):
    """A frame of a server, of under 126 bytes."""
    return bytes([0x80 | opcode, len(text)]) + text


OPEN = b'0{"sid":"s-1"}'
JOINED = UPGRADED + frame(OPEN) + frame(b'40{"sid":"x"}')


def read_frame(connection):
    """(opcode, payload) of a masked frame of a client, of under 126 bytes."""

    def read(size):
        data = b""
        while len(data) < size:
            part = connection.recv(size - len(data))
            assert part
            data += part
        return data

    first, second = read(2)
    key, payload = read(4), read(second & 0x7F)
    return first & 0x0F, bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


@contextmanager
def scripted(serve):
    """A server of one connection: its port. serve(connection) runs when the upgrade is read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        failed = []

        def run():
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(30)
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(4096)
                try:
                    serve(connection)
                except BaseException as problem:
                    failed.append(problem)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(30)
        assert not thread.is_alive()
        assert failed == []


def granting(answers):
    """What a scripted server does that answers each event with its ack and what is in answers."""

    def serve(connection):
        connection.sendall(JOINED)
        assert read_frame(connection) == (1, b"40")
        for number, answer in enumerate(answers):
            _, event = read_frame(connection)
            assert event.startswith(b'42%d["next",' % number)
            ack = b"43%d[]" % number
            connection.sendall(b"\x81" + bytes([len(ack)]) + ack + answer)
        with suppress(OSError):
            while connection.recv(4096):
                pass

    return serve


def read_request(connection):
    """(its first line, its body), or None when the client has closed.

    The first line has no `t`, which is another one each time.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(4096)
        if not part:
            assert data == b""
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(4096)
    return re.sub("&t=[0-9a-z]{8}", "", head.partition(b"\r\n")[0].decode()), body

"""A server whose every byte is written down, for the load generator of the benchmarks."""

import socket
import threading
from contextlib import contextmanager, suppress

UPGRADED = b"HTTP/1.1 101 \r\n\r\n"
JOINED = UPGRADED + b"\x81\x030{}\x81\x0440{}"


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

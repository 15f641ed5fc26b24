"""A client that stops where it is told, to be killed there: `python faults_raw.py '[...]'`.

Its argument is [host, port, steps]; a step is [connection, bytes in base64, text]: the bytes are
sent on the connection of that name, and its answer read up to the text; "" waits for nothing.
`{sid}` in the bytes is the session's id, which is in the first answer. After the last step it
prints a line and waits for its end.
"""

import base64
import json
import re
import socket
import sys
import time


def main(host: str, port: int, steps: list[tuple[str, str, str]]) -> None:
    connections: dict[str, socket.socket] = {}
    sid = b""
    for name, data, text in steps:
        if name not in connections:
            connections[name] = socket.create_connection((host, port), 10)
        connection = connections[name]
        connection.sendall(base64.b64decode(data).replace(b"{sid}", sid))
        answer = b""
        while text and text.encode() not in answer:
            chunk = connection.recv(65536)
            if not chunk:
                sys.exit(f"closed after {answer!r}")
            answer += chunk
        if found := re.search(rb'"sid":"([^"]+)","upgrades"', answer):
            sid = found[1]
    print("there", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))

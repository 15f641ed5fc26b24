"""Clients of python-socketio for the soak: ``python -m tests.soak.python_clients '{"urls": ...}'``.

They are a process of their own: each message takes them several turns of the event loop, which has
to be quick. What is printed and read is that of tests/js/soak.mjs; what the second line says of all
sequences, ``{"all": [[sequence, server, number], ...]}``, is waited for.
"""

import asyncio
import json
import sys
from typing import Any

from .crowd import Crowd
from .peers import Findings


async def tell(told: Any) -> Any:
    """Print a line, and return the next one that comes."""
    print(json.dumps(told), flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        sys.exit(1)
    return json.loads(line)


async def main(
    urls: list[str], clients: int, patience: float, rate: float, life: tuple[float, float]
) -> None:
    findings = Findings(patience)
    crowd = Crowd(urls, clients, rate, life, findings, {"python": 100})
    crowd.begin()
    await tell({"begun": clients})
    await crowd.rest()
    last = await tell({"resting": clients})
    await crowd.settle({(sequence, server): number for sequence, server, number in last["all"]})
    await crowd.leave()
    told = {"counts": findings.counts, "wrong": findings.wrong, "examples": findings.examples}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))

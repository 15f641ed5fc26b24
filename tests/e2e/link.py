"""A network link that can be slow, lose packets and be cut: `python link.py 198.18.7.1 198.18.7.2`.

The first address is this side's; the second one's is in a network namespace of the process, which
ends with it: `nsenter -t <pid> -n` runs a program there. Between the two are this process's own
hands: each IP packet that goes in at one TUN device comes out of the other, or does not. It prints
a line when the link is up, takes lines of JSON from its standard input and prints a line for each:

    {"delay": seconds each way, "loss": share of packets, "rate": bytes a second, "cut": bool}

It needs Linux, root and /dev/net/tun; the kernel's own network emulator (tc netem) is not needed.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
SEED = 20


def device(name: str, address: str, peer: str) -> int:
    """Make a TUN device where the process is now; it goes when its file is closed."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    for words in (f"address add {address} peer {peer} dev {name}", f"link set {name} up"):
        subprocess.run(["ip", *words.split()], check=True)
    return fd


def leave_for_a_new_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Link:
    """What is on its way, and what becomes of it."""

    def __init__(self, ends: tuple[int, int]) -> None:
        self.other = {ends[0]: ends[1], ends[1]: ends[0]}
        self.state = {"delay": 0.0, "loss": 0.0, "rate": 0.0, "cut": False}
        self.way: list[tuple[float, int, int, bytes]] = []
        self.free = dict.fromkeys(ends, 0.0)  # when the next packet can leave
        self.count = 0
        self.chance = random.Random(SEED)

    def take(self, end: int) -> None:
        """Take what goes in at an end."""
        while True:
            try:
                packet = os.read(end, 1 << 16)
            except BlockingIOError:
                return
            if self.state["cut"] or self.chance.random() < self.state["loss"]:
                continue
            due = max(time.monotonic(), self.free[end])
            if self.state["rate"]:
                due += len(packet) / self.state["rate"]
                self.free[end] = due
            self.count += 1
            entry = (due + self.state["delay"], self.count, self.other[end], packet)
            heapq.heappush(self.way, entry)

    def give(self) -> float | None:
        """Let out what is due; return the seconds until more is."""
        now = time.monotonic()
        while self.way and self.way[0][0] <= now:
            _, _, end, packet = heapq.heappop(self.way)
            if not self.state["cut"]:
                os.write(end, packet)
        return self.way[0][0] - now if self.way else None


def main(here: str, there: str) -> None:
    name = f"tbx{os.getpid()}"[:15]
    first = device(name, here, there)
    leave_for_a_new_namespace()
    link = Link((first, device(name, there, here)))
    print(json.dumps({"pid": os.getpid()}), flush=True)
    while True:
        ready, _, _ = select.select([sys.stdin, *link.other], [], [], link.give())
        for end in ready:
            if end is not sys.stdin:
                link.take(end)
                continue
            line = sys.stdin.readline()
            if not line:
                return
            link.state |= json.loads(line)
            print(json.dumps(link.state), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

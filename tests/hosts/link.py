#!/usr/bin/env python3
"""A network between namespaces with a delay, a rate and losses, where the kernel has no netem.

    link.py [delay=20ms] [rate=20mbit] [loss=1%] NAMESPACE...

Every namespace gets a tap device eth0; frames go to the port whose address they name. A frame leaves its host when the
host's way out is free (rate), is lost with the given probability, and arrives `delay` later. Says "ready" when it runs.
"""
import collections
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, TAP_WITHOUT_HEADER = 0x400454CA, 0x0002 | 0x1000
LONGEST_QUEUE_S = 0.5  # what would wait longer for the way out is dropped, as a router does


def number(text, units):
    for unit, factor in units:
        if text.endswith(unit):
            return float(text[: -len(unit)]) * factor
    sys.exit(f"link: {text} is none of {', '.join(unit for unit, _ in units)}")


def open_tap(name, namespace):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", name.encode(), TAP_WITHOUT_HEADER))
    subprocess.run(["ip", "link", "set", name, "netns", namespace, "name", "eth0"], check=True)
    return tap


class Link:
    def __init__(self, taps, delay_s, bytes_per_s, loss):
        self.taps, self.delay_s, self.bytes_per_s, self.loss = taps, delay_s, bytes_per_s, loss
        self.free_at = collections.defaultdict(float)  # of each port's way out
        self.port_of = {}  # hardware address -> port
        self.flying, self.order, self.random = [], 0, random.Random(1)

    def take(self, port, frame, now):
        self.port_of[frame[6:12]] = port
        free = max(now, self.free_at[port])
        if free - now > LONGEST_QUEUE_S:
            return
        leaves = free + len(frame) / self.bytes_per_s
        self.free_at[port] = leaves
        if self.random.random() < self.loss:
            return
        self.order += 1
        heapq.heappush(self.flying, (leaves + self.delay_s, self.order, port, frame))

    def deliver(self, now):
        while self.flying and self.flying[0][0] <= now:
            _, _, port, frame = heapq.heappop(self.flying)
            to = self.port_of.get(frame[:6])
            for other, tap in enumerate(self.taps):
                if other != port and to in (None, other):
                    try:
                        os.write(tap, frame)
                    except OSError:  # the device is not up yet
                        pass

    def run(self):
        poll = select.poll()
        for tap in self.taps:
            poll.register(tap, select.POLLIN)
        port_of_tap = {tap: port for port, tap in enumerate(self.taps)}
        while True:
            now = time.monotonic()
            wait_ms = 1000 if not self.flying else max(0, (self.flying[0][0] - now) * 1000)
            for tap, _ in poll.poll(wait_ms):
                try:
                    for _ in range(64):
                        self.take(port_of_tap[tap], os.read(tap, 65536), time.monotonic())
                except BlockingIOError:
                    pass
            self.deliver(time.monotonic())


def main():
    shape = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    namespaces = [word for word in sys.argv[1:] if "=" not in word]
    delay_s = number(shape.pop("delay", "0ms"), (("us", 1e-6), ("ms", 1e-3), ("s", 1)))
    rate = number(shape.pop("rate", "100gbit"), (("kbit", 125.0), ("mbit", 125e3), ("gbit", 125e6)))
    loss = number(shape.pop("loss", "0%"), (("%", 0.01),))
    if shape:
        sys.exit(f"link: unknown {', '.join(shape)}")
    taps = [open_tap(f"sbtap{os.getpid() % 100000}{i}"[:15], namespace) for i, namespace in enumerate(namespaces)]
    print("ready", flush=True)
    Link(taps, delay_s, rate, loss).run()


main()

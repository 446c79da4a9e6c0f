"""Ports for instances that live beside others: those of tests, of the benchmark, of the torture."""

import itertools
import random
import socket

# Below those that the system hands out itself; each process has an order of its own, and none twice.
_PORTS = itertools.cycle(random.sample(range(20_000, 30_000), 10_000))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port

"""Free ports for the instances of tests, benchmarks and torture tests."""

import itertools
import random
import socket

# Below the range that the system assigns itself; shuffled, so that processes rarely try the same port.
_PORTS = itertools.cycle(random.sample(range(20_000, 30_000), 10_000))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port

"""Ports for the servers under test, when several processes of the suite look for one at the same time."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port of the loopback interface, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port

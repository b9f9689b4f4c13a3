"""The end of a worker: after SIGTERM it takes no new connection, answers every request it has, then stops.

Closing a listening socket resets the connections that the kernel has accepted and the server has not yet, and
with them requests that clients have sent. So the socket stays open, but the kernel drops what would open a
connection, until none is waiting and none asks; each answer tells its client to close.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import socket
import struct
from pathlib import Path
from typing import Final

_QUIET_S = 0.25
_MAX_S = 10  # of the 30 s after which SageMaker kills
_LOOK_S = 0.05
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; Python has no name for it
# Classic BPF over a TCP header: load the flags, drop the packet if SYN is set, else let it through.
_DROP_SYN: Final = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_UNACKED: Final = slice(24, 28)  # of struct tcp_info; of a listening socket, the connections not yet accepted

log = logging.getLogger("serve")


class Drain:
    """Whether the worker is ending, and when it last answered."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends_at = 0.0
        self._last_request_at = 0.0
        self._sockets: list[socket.socket] = []

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes SIGTERM from granian, which stops at once; SIGINT is still granian's."""
        loop.add_signal_handler(signal.SIGTERM, self._begin, loop)

    def note_request(self) -> bool:
        """Says that a request is answered; whether its client is to close the connection."""
        if self._loop is None:
            return False
        self._last_request_at = self._loop.time()
        return True

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            return
        self._loop = loop
        self._last_request_at = loop.time()
        self._ends_at = loop.time() + _MAX_S
        self._sockets = listening_sockets()
        for each in self._sockets:
            refuse_connections(each)
        self._look(loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        waiting = sum(map(count_waiting, self._sockets))
        if now < self._ends_at and (waiting or now - self._last_request_at < _QUIET_S):
            loop.call_later(_LOOK_S, self._look, loop)
        else:
            os.kill(os.getpid(), signal.SIGINT)


def listening_sockets() -> list[socket.socket]:
    """The sockets on which this process listens, wherever they were opened; none where there is no /proc."""
    found = []
    for link in Path("/proc/self/fd").glob("*"):
        try:
            if os.readlink(link).startswith("socket:"):
                found.append(socket.socket(fileno=os.dup(int(link.name))))
        except OSError:
            continue  # closed since it was listed
    listening = [each for each in found if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
    for each in found:
        if each not in listening:
            each.close()
    return listening


def refuse_connections(listening: socket.socket) -> None:
    """Has the kernel drop every packet that would open a connection; those already opened are kept.

    Source: socket(7), SO_ATTACH_FILTER; Documentation/networking/filter.rst of the Linux kernel.
    """
    code = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
    steps = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(steps))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:
        log.warning("Connections are still taken while draining: %s", error)


def count_waiting(listening: socket.socket) -> int:
    """Connections that the kernel has accepted and the server has not."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    return int.from_bytes(info[_UNACKED], "little")

"""The head and the body of an answer leave in one TLS record.

hypercorn writes the head of an answer, and its body after it. Once a Go client (Terraform and its
providers) has read the head, the AWS SDK closes the request's body; where the client's own writer has not
yet come to that body's end, the connection goes down with it, and so does an answer's body that is still
to come. The SDK then makes the call again, and what the first one created is refused with "already
exists". AWS's front ends send a small answer in one piece; so must this server.

For hypercorn 0.18.0. Hook: `protocol/h11.py::H11Protocol._send_h11_event`.
"""

from __future__ import annotations

from typing import Any

import h11
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol


def install() -> None:
    """Makes the server hold the head of each answer back until what follows it is there, too."""
    H11Protocol._send_h11_event = _send_h11_event  # type: ignore[method-assign]


async def _send_h11_event(self: Any, event: Any) -> None:
    try:
        data = self.connection.send(event)
    except h11.LocalProtocolError:
        # As in hypercorn: a client that broke the protocol is gone, and nobody waits for the answer.
        if self.connection.their_state != h11.ERROR:
            raise
        return
    head = self.__dict__.pop("held_head", b"")
    if isinstance(event, h11.Response):
        self.held_head = data
    else:
        await self.send(RawData(data=head + data))

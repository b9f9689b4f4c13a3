"""granian as our server starts it, with a handler that does nothing: `empty.py PORT WORKERS [read]`."""

import sys
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

_HEADERS = [("content-type", "application/json")]


class Reading:
    """Reads every request and answers it alike."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """One request."""
        await protocol()
        protocol.response_bytes(200, _HEADERS, b"{}")


class Empty:
    """Answers every request alike, without looking at it."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """One request."""
        protocol.response_bytes(200, _HEADERS, b"{}")


def main() -> None:
    """Serves until SIGTERM."""
    server = Granian(
        "empty",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        workers=int(sys.argv[2]),
        interface=Interfaces.RSGI,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    server.serve(target_loader=Reading if "read" in sys.argv else Empty, wrap_loader=False)


if __name__ == "__main__":
    main()

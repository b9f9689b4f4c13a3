"""The server process: ministack's services, their mends, and the services it lacks, behind one TLS port."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio import constants
from typing import Any

from localaws.settings import ACCOUNT_ID, HOST, REGION, Settings

SHUTDOWN_TIMEOUT_S = 0.5


def environment(settings: Settings) -> dict[str, str]:
    """What ministack reads when it is imported. The root keys come from who starts the server."""
    return {
        "GATEWAY_PORT": str(settings.port),
        "BIND_HOST": HOST,
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_REGION": REGION,
        "MINISTACK_SSL_CERT": str(settings.certificate_file),
        "MINISTACK_SSL_KEY": str(settings.key_file),
        "USE_SSL": "1",
        "AUTH": "true",
        "CLOUDTRAIL_RECORDING": "1",
        "LAMBDA_EXECUTOR": "local",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        # Lambda workers inherit these, and must trust this server and nobody else.
        "AWS_CA_BUNDLE": str(settings.ca_file),
        "SSL_CERT_FILE": str(settings.ca_file),
        "REQUESTS_CA_BUNDLE": str(settings.ca_file),
        "AWS_EC2_METADATA_DISABLED": "true",
        "TMPDIR": str(settings.work_dir),
    }


def serve(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT, then ends every job and endpoint it started."""
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    os.environ.update(environment(settings))
    # A client that keeps an idle connection in its pool never answers the farewell of TLS.
    constants.SSL_SHUTDOWN_TIMEOUT = SHUTDOWN_TIMEOUT_S
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from hypercorn.asyncio import serve as serve_asgi
    from hypercorn.config import Config
    from ministack import app as ministack_app

    from localaws import decisions, mends, whole_answers
    from localaws.gateway import route
    from localaws.services import Services

    # ministack would otherwise look for its own containers, and patch docker-py to pull from public mirrors.
    ministack_app._docker_socket_present = lambda: False
    # First, so that what the others ask in addition is written too.
    decisions.install(settings.decisions_file, settings.decisions)
    services = Services(settings)
    mends.apply()
    whole_answers.install()

    config = Config()
    config.bind = [f"{HOST}:{settings.port}"]
    config.certfile = str(settings.certificate_file)
    config.keyfile = str(settings.key_file)
    config.alpn_protocols = ["http/1.1"]
    # Longer than the 90 s after which Terraform gives an idle connection up: of one that the server ends
    # while it is taken up again, the answer is lost, and the call is made twice.
    config.keep_alive_timeout = 600
    config.graceful_timeout = SHUTDOWN_TIMEOUT_S
    config.loglevel = "WARNING"

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A client that ends without the farewell of TLS is no fault of this server.
        if "SSL shutdown timed out" not in str(context.get("exception")):
            loop.default_exception_handler(context)

    loop.set_exception_handler(report)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    application = route(services.registry, ministack_app.app)
    try:
        await serve_asgi(application, config, shutdown_trigger=stopped.wait)  # type: ignore[arg-type]
    finally:
        await asyncio.to_thread(services.shut_down)

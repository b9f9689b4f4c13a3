"""One botocore session for the whole server: service models are large, and each session keeps its own."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import ServiceModel

_creating = threading.Lock()


def create_client(service: str, **arguments: Any) -> Any:
    """A client of the shared session, which is not safe to make clients from two threads at once."""
    with _creating:
        return shared_session().create_client(service, **arguments)


@functools.cache
def shared_session() -> botocore.session.Session:
    """The session; the user's own AWS configuration is no business of the server's."""
    return botocore.session.Session(
        session_vars={"config_file": (None, None, os.devnull, None), "profile": (None, None, None, None)}
    )


@functools.cache
def service_model(service: str) -> ServiceModel | None:
    """botocore's model of a service, by botocore's name; None when it has none."""
    try:
        return shared_session().get_service_model(service)
    except UnknownServiceError:
        return None


def share_models_with_ministack() -> None:
    """Ends ministack 1.5.33's habit of loading each service's model in a session of its own."""
    from ministack.core import responses

    names = responses._BOTOCORE_NAME
    responses._service_model = lambda service: service_model(names.get(service, service))

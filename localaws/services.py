"""The services that ministack 1.5.33 lacks, made known to its router and its IAM."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app
from ministack.core import iam_actions, router

from localaws import permissions, root_key
from localaws.autoscaling import service as autoscaling
from localaws.engine import CALL_TIMEOUT_S, NoEngine, connect, find_engine
from localaws.registry import ecr
from localaws.registry.blobs import BlobStore
from localaws.registry.http import Registry
from localaws.registry.tokens import Tokens
from localaws.runtime.containers import ContainerRuntime
from localaws.runtime.images import Image, Images
from localaws.runtime.platform import Platform
from localaws.runtime.processes import ProcessRuntime
from localaws.sagemaker import tags
from localaws.sagemaker.service import SageMaker
from localaws.sdk import share_models_with_ministack
from localaws.settings import Settings

Handler = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]


class Services:
    """What this package adds to one server."""

    def __init__(self, settings: Settings):
        blobs = BlobStore(settings.work_dir / "blobs")
        self._tokens = Tokens()
        self.registry = Registry(blobs, self._tokens)
        ecr.join(settings, blobs, self._tokens)
        images = Images(blobs, host=settings.registry, directory=settings.work_dir / "images")
        self._containers = self._container_runtime(settings)
        processes = None if settings.runtime == "container" else ProcessRuntime(images, settings.state_dir)
        platform = Platform(
            images, settings.work_dir / "trees", processes=processes, containers=self._containers
        )
        scaling = autoscaling.Autoscaling()
        self.sagemaker = SageMaker(platform, scaling, interruptions=settings.interruptions_dir)
        tags.register_with_tagging(self.sagemaker.store)
        register("sagemaker", self.sagemaker.api.handle_request)
        register("sagemaker-runtime", self.sagemaker.runtime_api.handle_request, iam_namespace="sagemaker")
        register(autoscaling.NAME, scaling.api.handle_request)
        permissions.install()
        root_key.install()
        share_models_with_ministack()

    def shut_down(self) -> None:
        """Ends everything that runs, and removes it."""
        self.sagemaker.shut_down()
        if self._containers is not None:
            self._containers.remove_all()

    def _container_runtime(self, settings: Settings) -> ContainerRuntime | None:
        if settings.runtime == "process":
            return None
        engine = find_engine()
        if isinstance(engine, NoEngine):
            return None
        client = connect(engine.host, timeout_s=CALL_TIMEOUT_S)
        return ContainerRuntime(client, settings, password=self._pull_password)

    def _pull_password(self, image: Image) -> str:
        # The role's permission was checked when the image was found; the pull itself is this server's.
        root_key = os.environ["AWS_ACCESS_KEY_ID"]
        return self._tokens.issue(root_key, image.repository.scope).password


def register(name: str, handler: Handler, *, iam_namespace: str | None = None, **patterns: Any) -> None:
    """Routes requests signed for `name` to a handler, and has IAM enforced on them."""
    app.SERVICE_HANDLERS[name] = handler
    router.SERVICE_PATTERNS[name] = {"credential_scope": name, "host_patterns": [rf"{name}\."], **patterns}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[name] = iam_namespace or name

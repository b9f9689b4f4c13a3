"""SageMaker as one service of this server: its parts put together."""

from __future__ import annotations

from pathlib import Path

from localaws.autoscaling.service import Autoscaling
from localaws.runtime.platform import Platform
from localaws.sagemaker import definitions, models, tags
from localaws.sagemaker.catalogue import Catalogue
from localaws.sagemaker.endpoints import Endpoints
from localaws.sagemaker.events import StateChanges
from localaws.sagemaker.invocations import InvocationApi
from localaws.sagemaker.metrics import Metrics
from localaws.sagemaker.model_packages import ModelPackages
from localaws.sagemaker.processing import ProcessingJobs
from localaws.sagemaker.runs import Runs
from localaws.sagemaker.training import TrainingJobs
from localaws.sagemaker.transform import TransformJobs
from localaws.schema import Schema
from localaws.service import JsonService
from localaws.store import Store


class SageMaker:
    """The control plane, and everything that runs because of it."""

    def __init__(self, platform: Platform, scaling: Autoscaling, *, interruptions: Path):
        self.store = Store()
        catalogue = Catalogue(self.store)
        changes = StateChanges(self.store)
        self._runs = Runs()
        self._metrics = Metrics()
        self._endpoints = Endpoints(catalogue, changes, platform, scaling)
        training = TrainingJobs(catalogue, changes, platform, self._runs, interruptions=interruptions)
        operations = {
            **definitions.operations(catalogue),
            **models.operations(catalogue),
            **ModelPackages(catalogue, changes).operations(),
            **training.operations(),
            **ProcessingJobs(catalogue, changes, platform, self._runs).operations(),
            **TransformJobs(catalogue, changes, platform, self._runs).operations(),
            **self._endpoints.operations(),
            **tags.operations(self.store),
        }
        self.api = JsonService(Schema("sagemaker"), operations)
        self.runtime_api = InvocationApi(self._endpoints, self._metrics)

    def shut_down(self) -> None:
        """Ends every job and endpoint."""
        self._endpoints.shut_down()
        self._runs.shut_down()
        self._metrics.shut_down()

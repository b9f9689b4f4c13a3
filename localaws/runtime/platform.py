"""Where jobs and endpoints run: the runtimes this server has, and where their files are."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localaws.runtime.errors import ClientFaultError
from localaws.runtime.images import Images
from localaws.runtime.workload import Running, Runtime, Workload


class Platform:
    """Chooses a workload's runtime by its image, and keeps its directories."""

    def __init__(
        self, images: Images, directory: Path, *, processes: Runtime | None, containers: Runtime | None
    ):
        self.images = images
        self._directory = directory
        self._processes = processes
        self._containers = containers

    def start(self, workload: Workload, log: Callable[[str], None]) -> Running:
        """The started workload. Raises: ClientFaultError when no runtime of this server takes its image."""
        if workload.image.runs_as_process:
            if self._processes is None:
                raise ClientFaultError(
                    f"Image {workload.image.uri} is made to run as plain processes, and this local AWS was "
                    "started with --runtime container."
                )
            return self._processes.start(workload, log)
        if self._containers is None:
            raise ClientFaultError(
                f"Image {workload.image.uri} needs a container engine, and this local AWS has none. Start "
                "one and restart the local AWS, or build the image for the process runtime."
            )
        return self._containers.start(workload, log)

    @contextmanager
    def tree(self) -> Iterator[Path]:
        """An empty directory to become some program's /opt/ml, gone when the block ends."""
        directory = self.new_tree()
        try:
            yield directory
        finally:
            self.remove_tree(directory)

    def new_tree(self) -> Path:
        """A tree that stays until `remove_tree`."""
        tree = self._directory / uuid.uuid4().hex / "ml"
        tree.mkdir(parents=True)
        return tree

    def remove_tree(self, tree: Path) -> None:
        shutil.rmtree(tree.parent, ignore_errors=True)

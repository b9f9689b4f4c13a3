"""Training programs: a good one, and those that break SageMaker's contract; `fails`: what finds it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


class Good:
    fails: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        print("training", flush=True)
        time.sleep(0.4)
        try:
            self.train()
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the failure file
            self.fail(str(error))

    def train(self) -> None:
        hyperparameters = json.loads((self.base / "input/config/hyperparameters.json").read_text())
        rows = (self.base / "input/data/train/rows.csv").read_text().split()
        self.save({"scale": float(self.parameter(hyperparameters)), "rows": len(rows)})

    def parameter(self, hyperparameters: dict[str, str]) -> float:
        return float(hyperparameters["scale"])

    def save(self, model: dict[str, float]) -> None:
        (self.base / "model/model.json").write_text(json.dumps(model))

    def fail(self, reason: str) -> None:
        (self.base / "output/failure").write_text(reason)
        sys.exit(1)

    def stop(self) -> None:
        sys.exit(0)


class FailureOf1024(Good):
    def fail(self, reason: str) -> None:
        super().fail(reason.ljust(1024, "."))


class FailureOf1025(Good):
    fails = ("train-failure-length",)

    def fail(self, reason: str) -> None:
        super().fail(reason.ljust(1025, "."))


class NoFailureFile(Good):
    fails = ("train-failure-file",)

    def fail(self, reason: str) -> None:
        sys.exit(bool(reason))


class ExitsWith0(Good):
    fails = ("train-failure-exit-code",)

    def fail(self, reason: str) -> None:
        (self.base / "output/failure").write_text(reason)


class FailureFileAlways(Good):
    fails = ("train-no-failure-file",)

    def save(self, model: dict[str, float]) -> None:
        super().save(model)
        (self.base / "output/failure").write_text("none")


class WantsNumbers(Good):
    fails = ("train-succeeds",)

    def parameter(self, hyperparameters: dict[str, str]) -> float:
        return hyperparameters["scale"] / 1


class SavesElsewhere(Good):
    fails = ("train-writes-model",)

    def save(self, model: dict[str, float]) -> None:
        (self.base / "output/data/model.json").write_text(json.dumps(model))


class OneChannelOnly(Good):
    fails = ("train-several-channels",)

    def train(self) -> None:
        (channel,) = (self.base / "input/data").iterdir()
        assert channel.name == "train"
        super().train()


class NeedsTheNetwork(Good):
    fails = ("train-offline",)

    def train(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing; needs a way to get there
        super().train()


class IgnoresSigterm(Good):
    fails = ("train-sigterm-exits",)

    def stop(self) -> None:
        time.sleep(30)


CORPUS = {cls.__name__: cls for cls in (Good, *Good.__subclasses__())}

if __name__ == "__main__":
    CORPUS[sys.argv.pop(1)]().run()

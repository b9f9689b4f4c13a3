"""A BentoML service that asks ONNX Runtime. ONNX_MODEL names the file, WORKERS how many processes."""

import os
from typing import Any

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=int(os.environ["WORKERS"]))
class Forest:
    """The forest."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["ONNX_MODEL"], options, providers=["CPUExecutionProvider"]
        )

    @bentoml.api(route="/invocations")
    def predict(self, instances: list[list[float]]) -> dict[str, Any]:
        """Probabilities of the rows sent."""
        rows = np.asarray(instances, dtype=np.float32)
        return {"predictions": self.session.run(["probabilities"], {"features": rows})[0].tolist()}

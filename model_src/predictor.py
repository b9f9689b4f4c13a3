"""A model in ONNX Runtime, asked with the encoded matrix. Nothing here knows scikit-learn."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

# Its Linux wheels report to their maker from the import on; no job and no endpoint calls out.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from model_src.artefact import Artefact
from model_src.encoding import Matrix
from model_src.errors import ArtefactError

PART_ROWS: Final = 10_000  # for one thread


class Predictor:
    """One loaded ONNX model; `predict` may be called from several threads at once."""

    def __init__(self, model: bytes | Path, *, threads: int = 1) -> None:
        """`threads` is how many compute many rows. Raises: ArtefactError if it is no ONNX model with the
        inputs and outputs that training writes.
        """
        # It starts none before it is needed: a server's workers are forked before that.
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a row takes 0.05 ms: handing it to other threads takes longer
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no common base
            raise ArtefactError(f"ONNX Runtime cannot load the model: {error}") from error
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = {value.name for value in self._session.get_outputs()} & {"probabilities", "value"}
        if inputs != ["features"] or len(outputs) != 1:
            raise ArtefactError(f"The model's inputs {inputs} and outputs are not those that `train` writes.")
        self._output = outputs.pop()

    def predict(self, matrix: Matrix) -> Matrix:
        """Probabilities, shape (n_rows, n_classes), or a regression's values, shape (n_rows,); float32.

        Raises: ArtefactError if the model does not answer row by row.
        """
        if self._pool is None or len(matrix) <= PART_ROWS:
            return self._run(matrix)
        parts = [matrix[start : start + PART_ROWS] for start in range(0, len(matrix), PART_ROWS)]
        return np.concatenate(list(self._pool.map(self._run, parts)))

    def _run(self, matrix: Matrix) -> Matrix:
        answer: Matrix = self._session.run([self._output], {"features": matrix})[0]
        if len(answer) != len(matrix):
            raise ArtefactError(
                f"The model answers {len(matrix)} rows with {len(answer)}; it mixes or drops rows."
            )
        return answer.reshape(-1) if self._output == "value" else answer


def load_predictor(artefact: Artefact, *, threads: int = 1) -> Predictor:
    """The predictor of a trained model, which has answered one row.

    Raises: ArtefactError if its two files do not belong together.
    """
    card, predictor = artefact.card, Predictor(artefact.onnx, threads=threads)
    expected = (1, len(card.classes)) if card.classes else (1,)
    try:
        shape = predictor.predict(np.zeros((1, len(card.features)), dtype=np.float32)).shape
    except ArtefactError:
        raise
    except Exception as error:  # onnxruntime's own errors have no common base
        raise ArtefactError(f"The model does not take what its card says: {error}") from error
    if shape != expected:
        raise ArtefactError(f"The model answers a row with shape {shape}; its card says {expected}.")
    return predictor

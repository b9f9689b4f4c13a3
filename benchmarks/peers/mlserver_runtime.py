"""An MLServer runtime that asks ONNX Runtime; its settings name the file as `uri`."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Forest(MLModel):
    """The forest."""

    async def load(self) -> bool:
        """Opens the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Probabilities of the rows sent."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        answer = self.session.run(["probabilities"], {"features": rows})[0]
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", answer)]
        )

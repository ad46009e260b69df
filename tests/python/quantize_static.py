"""Quantises an explained model by ONNX Runtime's own `quantize_static` in several forms, and says what it computes then.

    quantize_static.py FLOAT.onnx FOLDER PICTURE...

FOLDER gets FORM.onnx for each form below, and answers.json: form -> picture -> logits and explanation in ONNX Runtime.
The pictures are calibrated with.
"""

import json
import sys
from pathlib import Path

import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from check_metrics import Network

INT8, UINT8 = QuantType.QInt8, QuantType.QUInt8
# Name -> type of activations, type of weights, one scale a channel, prepared by quant_pre_process.
FORMS = {
    "int8-per-channel": (INT8, INT8, True, False),
    "int8-per-tensor-prepared": (INT8, INT8, False, True),
    "uint8-per-channel": (UINT8, INT8, True, False),
    "uint8-per-tensor": (UINT8, UINT8, False, False),
}


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"image": image}


def main():
    model, folder, *paths = sys.argv[1:]
    folder = Path(folder)
    eye = Network(model)
    images = {path: ((eye.view(path) - eye.mean) / eye.deviation)[None].astype("float32") for path in paths}
    prepared = folder / "prepared.onnx"
    quant_pre_process(model, str(prepared))
    answers = {}
    for name, (activations, weights, per_channel, is_prepared) in FORMS.items():
        path = folder / f"{name}.onnx"
        quantize_static(
            str(prepared) if is_prepared else model,
            str(path),
            Reader(images.values()),
            quant_format=QuantFormat.QDQ,
            activation_type=activations,
            weight_type=weights,
            per_channel=per_channel,
        )
        # As the file says it, operator by operator: the fused kernels cut off sums on processors without VNNI.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        run = lambda image: [value.ravel().tolist() for value in session.run(["logits", "explanation"], {"image": image})]
        answers[name] = {Path(picture).name: run(image) for picture, image in images.items()}
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()

"""Writes the ONNX project's own test cases of single operators.

    python make_node_tests.py target/onnx-node-tests

One folder a case: `model.onnx`, and `test_data_set_0/{input,output}_N.pb` as tensors. Cases whose inputs or
outputs are no tensors (sequences, optionals) are left out.
"""

import sys
from pathlib import Path

from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases


def as_tensor(value: object, name: str) -> bytes:
    tensor = value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
    return tensor.SerializeToString()


def write(case, folder: Path) -> None:
    infos = [*case.model.graph.input, *case.model.graph.output]
    if not all(info.type.HasField("tensor_type") for info in infos):
        return
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / case.name / f"test_data_set_{number}"
        data.mkdir(parents=True, exist_ok=True)
        for kind, values, infos in (
            ("input", inputs, case.model.graph.input),
            ("output", outputs, case.model.graph.output),
        ):
            for index, (value, info) in enumerate(zip(values, infos)):
                (data / f"{kind}_{index}.pb").write_bytes(as_tensor(value, info.name))
    (folder / case.name / "model.onnx").write_bytes(case.model.SerializeToString())


def main() -> None:
    folder = Path(sys.argv[1])
    for case in collect_testcases(None):
        write(case, folder)
    print(f"{len(list(folder.iterdir()))} cases in {folder}")


if __name__ == "__main__":
    main()

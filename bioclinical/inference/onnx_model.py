"""A fine-tuned model as an ONNX file, computed by onnxruntime on the CPU, with the inputs and outputs of the original.

The folder is one in Hugging Face layout (config, tokenizer) whose weights are in `model.onnx`.
"""

from pathlib import Path
from typing import Any

import torch

from bioclinical.errors import UserError, first_line

MODEL_FILE = "model.onnx"


class OnnxModel:
    """Called like the model it was made from: tensors by name in, tensors by name out, all on the CPU."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where onnxruntime is absent or the file cannot be read."""
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError("--runtime onnx needs onnxruntime; install it: pip install '.[onnx]'") from error
        path = Path(folder) / MODEL_FILE
        if not path.is_file():
            raise UserError(f"'{folder}' holds no {MODEL_FILE}; make one with python -m bioclinical.export_onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes are made in C++, one for each status
            raise UserError(f"'{path}' cannot be read ({first_line(error)}); export the model again") from error
        self.arguments = frozenset(one.name for one in self.session.get_inputs())
        self.outputs = [one.name for one in self.session.get_outputs()]

    def __call__(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs by name. inputs: those of `arguments`, others are not used."""
        fed: dict[str, Any] = {name: inputs[name].numpy() for name in self.arguments}
        return dict(zip(self.outputs, map(torch.from_numpy, self.session.run(self.outputs, fed))))

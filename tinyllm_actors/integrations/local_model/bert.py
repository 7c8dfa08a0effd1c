"""A transformer of BERT's kind, computed with numpy: what it makes of tokens, as one vector for each text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Bert"]


class Bert:
    """An encoder with absolute positions and GELU; it holds no state, and may be used by several threads.

    Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2018;
    for the mean of its tokens as the vector of a sentence: Reimers and Gurevych, "Sentence-BERT", 2019.

    Args:
        numpy: the module.
        weights: by the names of the Transformers library.
        heads: of attention.
        epsilon: of the normalisations.

    Raises:
        KeyError: a weight is missing.
        ValueError: the weights do not fit one another.
    """

    def __init__(self, numpy: Any, weights: Mapping[str, Any], *, heads: int, epsilon: float) -> None:
        self._numpy = numpy
        self._weights = {name: weight.astype(numpy.float32) for name, weight in weights.items() if weight.ndim < 3}
        self._words = self._weights["embeddings.word_embeddings.weight"]
        # All tokens are of the first kind: texts come one by one.
        self._places = (
            self._weights["embeddings.position_embeddings.weight"]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._heads = heads
        self._epsilon = epsilon
        self.dimensions = int(self._words.shape[1])
        self.max_tokens = len(self._places)
        self.vocabulary = len(self._words)
        self._layers = sum(
            name.startswith("encoder.layer.") and name.endswith(".attention.self.query.weight") for name in weights
        )
        if heads < 1 or self.dimensions % heads or not self._layers:
            raise ValueError(f"{self._layers} layers of {self.dimensions} dimensions for {heads} heads")
        self.vectors([[0]])

    def vectors(self, texts: Sequence[Sequence[int]]) -> Any:
        """Return one vector of length 1 for each text: the mean of what its tokens became.

        Args:
            texts: tokens of each, at least one and at most `max_tokens`.
        """
        numpy = self._numpy
        # The rows of all texts stand in one matrix, without padding: only attention tells them apart.
        ends = numpy.cumsum([len(tokens) for tokens in texts])
        spans = [slice(end - len(tokens), end) for tokens, end in zip(texts, ends.tolist(), strict=True)]
        rows = self._words[numpy.concatenate([numpy.asarray(tokens) for tokens in texts])]
        rows = rows + numpy.concatenate([self._places[: len(tokens)] for tokens in texts])
        rows = self._normalised("embeddings.LayerNorm", rows)
        for number in range(self._layers):
            layer = f"encoder.layer.{number}"
            seen = self._linear(f"{layer}.attention.output.dense", self._attended(layer, rows, spans))
            rows = self._normalised(f"{layer}.attention.output.LayerNorm", rows + seen)
            inner = self._linear(f"{layer}.intermediate.dense", rows)
            inner *= self._gate(inner)
            rows = self._normalised(f"{layer}.output.LayerNorm", rows + self._linear(f"{layer}.output.dense", inner))
        means = numpy.stack([rows[span].mean(axis=0) for span in spans])
        return means / numpy.maximum(numpy.linalg.norm(means, axis=1, keepdims=True), 1e-12)

    def _attended(self, layer: str, rows: Any, spans: Sequence[slice]) -> Any:
        numpy = self._numpy
        size = self.dimensions // self._heads
        query, key, value = (self._linear(f"{layer}.attention.self.{part}", rows) for part in ("query", "key", "value"))
        query /= math.sqrt(size)
        seen = numpy.empty_like(rows)
        for span in spans:
            q, k, v = (part[span].reshape(-1, self._heads, size).transpose(1, 0, 2) for part in (query, key, value))
            heat = q @ k.transpose(0, 2, 1)
            heat = numpy.exp(heat - heat.max(axis=-1, keepdims=True))
            heat /= heat.sum(axis=-1, keepdims=True)
            seen[span] = (heat @ v).transpose(1, 0, 2).reshape(-1, self.dimensions)
        return seen

    def _gate(self, rows: Any) -> Any:
        """Return by what GELU multiplies, by its usual approximation, which differs in the fourth digit."""
        gate = rows * rows  # numpy's power takes ten times as long
        gate *= 0.044715
        gate += 1.0
        gate *= rows
        gate *= math.sqrt(2 / math.pi)
        self._numpy.tanh(gate, out=gate)
        gate += 1.0
        gate *= 0.5
        return gate

    def _linear(self, name: str, rows: Any) -> Any:
        return rows @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normalised(self, name: str, rows: Any) -> Any:
        rows = rows - rows.mean(axis=-1, keepdims=True)
        rows /= self._numpy.sqrt((rows * rows).mean(axis=-1, keepdims=True) + self._epsilon)
        return rows * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

"""Weights and inputs drawn from a seed, for cases of full-size nets that ship none."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from caffeport.emit.names import name_graph
from caffeport.graph import Graph
from caffeport.layers import Shape

#: Numbers are drawn in float64, so many at a time, to keep memory near that of the weights themselves.
CHUNK = 1 << 20


def normal(rng: np.random.RandomState, shape: Shape) -> np.ndarray:
    """The same numbers as ``rng.standard_normal(shape).astype(float32)``."""
    flat = np.empty(prod(shape), np.float32)
    for start in range(0, flat.size, CHUNK):
        flat[start : start + CHUNK] = rng.standard_normal(min(CHUNK, flat.size - start))
    return flat.reshape(shape)


def draw_blob(rng: np.random.RandomState, type_: str, k: int, shape: Shape) -> np.ndarray:
    """Blob k of a layer, by the rule that golden/README.md states for the full-size nets."""
    z = normal(rng, shape)
    one, tenth = np.float32(1), np.float32(0.1)
    if type_ == "BatchNorm":
        return (tenth * z, np.float32(0.5) + np.abs(z), np.ones(shape, np.float32))[k]
    if type_ == "Scale":
        return one + tenth * z if k == 0 else tenth * z
    if k == 0 and len(shape) > 1:
        z *= np.float32(np.sqrt(2 * shape[0] / z.size))
        return z
    return tenth * z


def draw_state(graph: Graph, meta: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every parameter of the graph by state_dict key, drawn in the order of the file.

    The graph's size is the caller's to check: nothing but the net's own numbers says how much is drawn.
    """
    rng = np.random.RandomState(meta["seed"])
    keys = name_graph(graph).state
    return {
        keys[node.index, k]: draw_blob(rng, node.type, k, param.shape)
        for node in graph.computing
        for k, param in enumerate(node.params)
    }


def draw_inputs(meta: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The input that goes with the seed: whole numbers from -117 to 138."""
    rng = np.random.RandomState(meta["seed"] + 1)
    return {blob: (rng.randint(0, 256, shape) - 117).astype(np.float32) for blob, shape in meta["inputs"].items()}

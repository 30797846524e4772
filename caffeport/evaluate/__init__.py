"""How good predictions are: ranks, errors, distributions, and what they say about the model, in words and pictures."""

from __future__ import annotations

from caffeport.evaluate.metrics import Agreement, Classification, agreement, classification
from caffeport.evaluate.run import Evaluation, View, evaluate, evaluate_table

__all__ = [
    "Agreement",
    "Classification",
    "Evaluation",
    "View",
    "agreement",
    "classification",
    "evaluate",
    "evaluate_table",
]

"""Pictures in, scores out: a converted model with the preprocessing that it carries.

predictor = open_predictor("memnet.pt")
predictor("cat.jpg")                      # {'fc8-euclidean': array of shape (10, 1)}, one row a crop
"""

from __future__ import annotations

from caffeport.predict.inputs import open_inputs
from caffeport.predict.predictor import Prediction, Predictor, open_predictor

__all__ = ["Prediction", "Predictor", "open_inputs", "open_predictor"]

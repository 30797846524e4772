"""MemNet's ten scores as real Caffe gave them, from every kind of model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffeport.predict import open_predictor


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.pt", "model.onnx", "front.onnx"])
def test_ten_scores_of_memnet(memnet: Path, golden: Path, name: str) -> None:
    wanted = np.load(golden / "memnet-predict" / "golden.npz")
    found = open_predictor(memnet / name)(golden / "memnet-predict" / "image.png")
    np.testing.assert_allclose(found["fc8-euclidean"], wanted["scores"], rtol=1e-5)
    np.testing.assert_allclose(found["fc8-euclidean"].mean(), wanted["mean_score"], rtol=1e-5)


@pytest.mark.slow
def test_the_score_of_the_model_alone_is_the_mean(memnet: Path, golden: Path) -> None:
    import cv2
    import onnxruntime

    session = onnxruntime.InferenceSession(str(memnet / "front.onnx"), providers=["CPUExecutionProvider"])
    picture = np.asarray(cv2.imread(str(golden / "memnet-predict" / "image.png")))
    score, crops = session.run(None, {"picture": np.ascontiguousarray(picture[:, :, ::-1])})
    wanted = np.load(golden / "memnet-predict" / "golden.npz")
    np.testing.assert_allclose(score, [[wanted["mean_score"]]], rtol=1e-5)
    np.testing.assert_allclose(crops, wanted["scores"], rtol=1e-5)

"""The proof: golden cases, comparison, and the run that puts the port beside what Caffe computed."""

#: The ways in which a port runs, and the witnesses that it is held against without a golden case.
BACKENDS = ("module", "source", "onnx")
WITNESSES = ("source", "onnx", "opencv")

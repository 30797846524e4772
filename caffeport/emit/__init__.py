"""Emitters: a graph as readable Python, as an nn.Module, as ONNX. They know no layer type."""

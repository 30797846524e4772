"""What Caffe's files say: readers that keep everything they meet. Nothing in here imports torch or onnx."""

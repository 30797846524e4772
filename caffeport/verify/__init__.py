"""The proof: golden cases, comparison, and the run that puts the port beside what Caffe computed."""

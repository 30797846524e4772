"""Reading and converting a full-size MemNet, beside what a user would do instead: cp, and protobuf with NumPy.

`python -m caffeport.bench.files` prints seconds, ratios and peak memory. Every figure is the best of several runs, each
verb in a process of its own.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

CASE = Path(__file__).parents[2] / "golden" / "nets" / "memnet"
SEED = 20150
RUNS = 5

WRITE = f"""
import sys
from pathlib import Path
from caffeport.demo import write_memnet
write_memnet(Path(sys.argv[1]), {SEED}, Path(sys.argv[2]))
"""

#: Converting inside a process that has torch already, as a notebook has.
CONVERT = """
import sys, time, torch
import caffeport
net, weights, out = sys.argv[1:]
start = time.perf_counter()
caffeport.convert(weights, [out], net=net)
print(time.perf_counter() - start)
"""

#: The usual way: the whole file through protobuf, every blob through NumPy. The schema is ours, compiled when needed.
PROTOBUF = """
import sys, time, numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
files = descriptor_pb2.FileDescriptorSet.FromString(open(sys.argv[1], "rb").read())
pool = descriptor_pool.DescriptorPool()
for file in files.file:
    pool.Add(file)
Net = message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))
start = time.perf_counter()
net = Net.FromString(open(sys.argv[2], "rb").read())
arrays = [np.array(blob.data, np.float32) for layer in net.layers for blob in layer.blobs]
print(time.perf_counter() - start)
"""

READ = """
import sys, time
from caffeport import open_weights
start = time.perf_counter()
weights = open_weights(sys.argv[1])
opened = time.perf_counter() - start
arrays = [blob.numpy() for blobs in weights.values() for blob in blobs]
print(opened, time.perf_counter() - start)
"""


def best(measure: Callable[[], float]) -> float:
    """The least of several measurements, in seconds."""
    return min(measure() for _ in range(RUNS))


def process(*command: str) -> tuple[float, str, int]:
    """Wall seconds, stdout and peak resident bytes of one process."""
    start = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        out = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ... ended with {child.returncode}")
    return perf_counter() - start, out, _bytes(usage)


def _bytes(usage: resource.struct_rusage) -> int:
    # Linux counts kilobytes, macOS bytes.
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def copying(source: Path, target: Path) -> float:
    """Seconds of a plain copy to a new file."""
    target.unlink(missing_ok=True)
    start = perf_counter()
    shutil.copyfile(source, target)
    return perf_counter() - start


def compiled_schema(folder: Path) -> Path | None:
    """Our caffe.proto as a descriptor set; None where protoc is not installed."""
    try:
        from grpc_tools import protoc
    except ImportError:
        return None
    target, root = folder / "caffe.desc", CASE.parents[2] / "proto"
    protoc.main(["protoc", f"-I{root}", f"--descriptor_set_out={target}", str(root / "caffe.proto")])
    return target


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        net, model, copy, out = CASE / "net.prototxt", folder / "memnet.caffemodel", folder / "copy", folder / "x"
        # In a process of its own: a child's peak memory counts that of its parent when it was started.
        process(sys.executable, "-c", WRITE, str(net), str(model))
        size = model.stat().st_size
        print(f"MemNet, V1 .caffemodel of {size / 1e6:.0f} MB")
        seconds, _, peak = min(process(sys.executable, "-m", "caffeport", "inspect", str(model)) for _ in range(RUNS))
        print(f"inspect, whole process: {seconds:.2f} s, peak memory {peak / 1e6:.0f} MB ({peak / size:.2f} x file)")
        cp = best(lambda: copying(model, copy))
        print(f"cp: {cp:.3f} s")
        for suffix in (".safetensors", ".pt", ".onnx"):
            runs = [process(sys.executable, "-c", CONVERT, str(net), str(model), f"{out}{suffix}") for _ in range(RUNS)]
            inside = min(float(text) for _, text, _ in runs)
            peak = min(used for _, _, used in runs)
            print(
                f"convert to {suffix}: {inside:.3f} s, {inside / cp:.2f} x cp, peak {peak / size:.2f} x file with torch"
            )
        verb = ("-m", "caffeport", "convert", str(net), str(model), "-o", f"{out}.safetensors")
        seconds, _, peak = min(process(sys.executable, *verb) for _ in range(RUNS))
        print(f"caffeport convert -o .safetensors, whole process: {seconds:.2f} s, peak {peak / size:.2f} x file")
        reads = [process(sys.executable, "-c", READ, str(model))[1].split() for _ in range(RUNS)]
        whole = min(float(text) for _, text in reads)
        print(f"open: {1e3 * min(float(text) for text, _ in reads):.2f} ms; open and copy all arrays: {whole:.3f} s")
        schema = compiled_schema(folder)
        if schema is not None:
            other = best(lambda: float(process(sys.executable, "-c", PROTOBUF, str(schema), str(model))[1]))
            print(f"protobuf + NumPy: {other:.3f} s, {other / whole:.1f} x ours")


if __name__ == "__main__":
    main()

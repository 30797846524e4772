"""A graph as readable Python: one line per layer, torch and nothing else."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

from caffeport import nn as own
from caffeport.batch import Free, free_axes
from caffeport.emit.names import Names, name_graph
from caffeport.graph import Graph, Node, Value
from caffeport.layers import Call, Shape

LOADER = '''

def load(path: str | Path) -> {cls}:
    """The model with weights from a .safetensors file or a plain state_dict (.pt), in evaluation mode."""
    with torch.device("meta"):
        model = {cls}()
    model.load_state_dict(read_state(Path(path)), assign=True)
{tie}    return model.eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file (length, JSON header, data), or of a state_dict saved by torch."""
    if path.suffix != ".safetensors":
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("state_dict", state)
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = 8 + int.from_bytes(data[:8], "little")
    dtypes = {{"F32": torch.float32, "F64": torch.float64, "F16": torch.float16}}
    state = {{}}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            dtype = dtypes[entry["dtype"]]
            flat = torch.frombuffer(data, dtype=dtype, count=(last - first) // dtype.itemsize, offset=start + first)
            state[name] = flat.view(entry["shape"])
    return state
'''


def emit(graph: Graph, standalone: bool = True, notes: Mapping[str, str] | None = None) -> str:
    """The source of a module that computes the graph.

    Args:
        graph: a whole net, or a part of one.
        standalone: carry the classes that torch lacks, and a loader; otherwise import them from `caffeport.nn`.
        notes: what the docstring should tell (where it came from), as name and text.

    Returns:
        Python that defines one nn.Module class (its name from `name_graph`); no text of a file stands in it other
        than as an identifier made by us or as an escaped literal.
    """
    names = name_graph(graph)
    calls = {node.index: _as_shared(graph, node, node.layer.torch(node.shapes)) for node in graph.computing}
    carried = sorted({name for call in calls.values() for name in _classes(call) if "." not in name})
    free = free_axes(graph) or {}
    body = _class(graph, names, calls, free)
    users = _users_modules(calls)
    if not standalone:
        imports = users + (f"from caffeport.nn import {', '.join(carried)}\n" if carried else "")
        return f"from __future__ import annotations\n\nimport torch\nfrom torch import Tensor, nn\n{imports}\n\n{body}"
    loader = LOADER.format(cls=names.cls, tie="    model.tie()\n" if shares(graph) else "")
    code = "\n\n".join([*_carry(carried), body]) + loader
    title = f'"""{_title(graph)}\n\n{_interface(graph, free)}\n{_notes(notes or {})}"""'
    return f"{title}\n\n{_imports(code)}{users}\n\n{code}"


def _users_modules(calls: Mapping[int, Call]) -> str:
    """Imports of the classes that the user registered for Python layers: named by themselves, not by the net."""
    classes = {name for call in calls.values() for name in _classes(call) if "." in name}
    names = {name.rpartition(".")[0] for name in classes} - {"nn"}
    return "".join(f"import {name}\n" for name in sorted(names))


def _imports(code: str) -> str:
    """What the emitted code needs, in the usual order, and no more."""
    lines = ["from __future__ import annotations", "", "import json"]
    lines += ["import math"] if "math." in code else []
    lines += ["import mmap", "from pathlib import Path", "", "import torch"]
    lines += ["import torch.nn.functional as F"] if "F." in code else []
    lines += ["from torch import Tensor, nn"]
    return "\n".join(lines) + "\n"


def shares(graph: Graph) -> bool:
    """Whether layers share parameters, which the module's `tie` then joins."""
    return any(param.owner is not None for node in graph.computing for param in node.params)


def _as_shared(graph: Graph, node: Node, call: Call) -> Call:
    """The call, wrapped where a parameter has another shape in the layer that owns it (share_mode: PERMISSIVE)."""
    pairs = zip(call.state, node.params, strict=True)
    shapes = {name: graph.stored(param).shape for name, param in pairs if graph.stored(param).shape != param.shape}
    return Call("Reshaped", (call,), shapes, call.state, call.each) if shapes else call


def _classes(call: Call) -> Iterable[str]:
    yield call.name
    for argument in call.args:
        if isinstance(argument, Call):
            yield from _classes(argument)


def _title(graph: Graph) -> str:
    return f"{quoted(graph.name)[1:-1] or 'A net'}, converted from Caffe."


def quoted(text: str) -> str:
    """Text of a file as a literal that is safe anywhere in source: ASCII, one line, no quote of either kind in it."""
    escaped = text.encode("unicode_escape", "surrogatepass").decode("ascii")
    return "'" + escaped.replace("'", "\\x27").replace('"', "\\x22") + "'"


def _interface(graph: Graph, free: Mapping[str, Free]) -> str:
    lines = [f"Input {quoted(v.blob)}: {shape_text(v.shape, free.get(v.name))}" for v in graph.inputs]
    lines += [f"Output {quoted(v.blob)}: {shape_text(v.shape, free.get(v.name))}" for v in graph.outputs]
    return "\n".join(lines)


def _notes(notes: Mapping[str, str]) -> str:
    return "".join(f"{quoted(name)[1:-1]}: {quoted(text)[1:-1]}\n" for name, text in notes.items())


def shape_text(shape: Shape, free: Free | None) -> str:
    """``N x 96 x 55 x 55``: N for a side that is the batch, 21N for one that is so many times the batch."""
    sides = zip(shape, free or (0,) * len(shape), strict=True)
    return " x ".join(_side(side, times) for side, times in sides) or "scalar"


def _side(side: int, times: int) -> str:
    if times == 0:
        return str(side)
    return "N" if times == 1 else f"{times}N" if times > 0 else "?"


def _class(graph: Graph, names: Names, calls: Mapping[int, Call], free: Mapping[str, Free]) -> str:
    lines = [f"class {names.cls}(nn.Module):", "    def __init__(self) -> None:", "        super().__init__()"]
    lines += [f"        self.{names.modules[i]} = {_constructor(call)}" for i, call in calls.items()]
    lines += ["        self.tie()"] if shares(graph) else []
    # Behind `tie`: a parameter that one of its sharers freezes is frozen for all, as in Caffe.
    lines += _frozen(graph, names)
    lines += ["", *_tie(graph, names)] if shares(graph) else []
    lines += ["", *_forward(graph, names, calls, free)]
    return "\n".join(lines) + "\n"


def _constructor(call: Call) -> str:
    arguments = [_literal(value) for value in call.args]
    arguments += [f"{name}={_literal(value)}" for name, value in call.kwargs.items()]
    return f"{call.name}({', '.join(arguments)})"


def _literal(value: Any) -> str:
    """A value as source; `repr` alone would write inf and nan as names that nobody defines."""
    if isinstance(value, Call):
        return _constructor(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def _frozen(graph: Graph, names: Names) -> Iterable[str]:
    """lr_mult: 0 keeps a parameter as it is: no gradient."""
    for node in graph.computing:
        for k, param in enumerate(node.params):
            if param.spec.lr_mult == 0 and (node.index, k) in names.state:
                yield f"        self.{names.state[node.index, k]}.requires_grad_(False)"


def _tie(graph: Graph, names: Names) -> list[str]:
    lines = ["    def tie(self) -> None:", '        """Join the parameters that Caffe shares by name."""']
    for node in graph.computing:
        for k, param in enumerate(node.params):
            if param.owner is not None:
                lines.append(f"        self.{names.state[node.index, k]} = self.{names.state[param.owner]}")
    return lines


def _forward(graph: Graph, names: Names, calls: Mapping[int, Call], free: Mapping[str, Free]) -> list[str]:
    arguments = "".join(f", {names.variables[value.blob]}: Tensor" for value in graph.inputs)
    lines = [f"    def forward(self{arguments}) -> {_kind(graph)}:"]
    for node in graph.computing:
        shapes = ", ".join(shape_text(value.shape, free.get(value.name)) for value in node.tops)
        lines.append(f"        {_line(node, names, calls[node.index])}" + (f"  # {shapes}" if shapes else ""))
        lines += [f"        {line}" for line in _overwritten_losses(graph, node, names)]
    return lines + [f"        {line}" for line in _returned(graph, names)]


def _kind(graph: Graph) -> str:
    """What forward returns."""
    if _weighted(graph):
        return "tuple[Tensor, dict[str, Tensor]]"
    return "Tensor" if len(graph.outputs) == 1 else "dict[str, Tensor]"


def _weighted(graph: Graph) -> list[tuple[Value, float]]:
    """The tops that make up the objective of a training graph, with their weights."""
    if graph.net.phase != "TRAIN":
        return []
    pairs = [pair for node in graph.nodes for pair in zip(node.tops, node.loss_weights, strict=True)]
    return [(value, weight) for value, weight in pairs if weight]


def _line(node: Node, names: Names, call: Call) -> str:
    module = f"self.{names.modules[node.index]}"
    downward = node.definition.propagate_down or (True,) * len(node.bottoms)
    bottoms = [
        names.variables[value.blob] + ("" if down else ".detach()")
        for value, down in zip(node.bottoms, downward, strict=True)
    ]
    right = ", ".join(f"{module}({bottom})" for bottom in bottoms) if call.each else f"{module}({', '.join(bottoms)})"
    tops = ", ".join(names.variables[value.blob] for value in node.tops)
    return f"{tops} = {right}" if tops else right


def _term(names: Names, value: Value, weight: float) -> str:
    return f"{_literal(weight)} * {names.variables[value.blob]}.sum()"


def _overwritten_losses(graph: Graph, node: Node, names: Names) -> Iterable[str]:
    """A weighted top that a later layer overwrites in place counts as it is now, as Caffe adds it up at once."""
    overwritten = [(value, weight) for value, weight in _weighted(graph) if value.name != value.blob]
    for place, (value, weight) in enumerate(overwritten):
        if value in node.tops:
            yield f"loss = {'loss + ' if place else ''}{_term(names, value, weight)}"


def _returned(graph: Graph, names: Names) -> Iterable[str]:
    result = ", ".join(f"{quoted(v.blob)}: {names.variables[v.blob]}" for v in graph.outputs)
    weighted = _weighted(graph)
    terms = [_term(names, value, weight) for value, weight in weighted if value.name == value.blob]
    terms = ["loss", *terms] if len(terms) < len(weighted) else terms
    if terms == ["loss"]:
        yield f"return loss, {{{result}}}"
        return
    if terms:
        yield f"loss = {' + '.join(terms)}"
        yield f"return loss, {{{result}}}"
        return
    yield f"return {names.variables[graph.outputs[0].blob]}" if len(graph.outputs) == 1 else f"return {{{result}}}"


def _carry(classes: Iterable[str]) -> list[str]:
    """The files of `caffeport.nn` that hold these classes, less their imports."""
    files = dict.fromkeys(name for cls in classes for name, file in own.FILES.items() if cls in file.__all__)
    return [_without_imports(inspect.getsource(own.FILES[name])) for name in files]


def _without_imports(source: str) -> str:
    tree = ast.parse(source)
    dropped: set[int] = set()
    for number, statement in enumerate(tree.body):
        docstring = number == 0 and isinstance(statement, ast.Expr)
        exported = isinstance(statement, ast.Assign) and _target(statement) == "__all__"
        if docstring or exported or isinstance(statement, ast.Import | ast.ImportFrom):
            dropped.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    lines = [line for number, line in enumerate(source.splitlines(), 1) if number not in dropped]
    return "\n".join(lines).strip() + "\n"


def _target(statement: ast.Assign) -> Any:
    return getattr(statement.targets[0], "id", None)

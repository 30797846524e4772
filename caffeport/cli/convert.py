"""`caffeport convert`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffeport.cli import outputs as outputs_
from caffeport.cli import recipe
from caffeport.errors import Refused

if TYPE_CHECKING:
    from caffeport.artefacts.recipe import Recipe
    from caffeport.port import Port


@click.command("convert")
@click.argument("model", nargs=-1, required=True, metavar="[NET] WEIGHTS", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A file to write: .pt, .safetensors, .py, .pt2 or .onnx. May be given several times.",
)
@click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="[BLOB=]NxCxHxW",
    help="Shape of an input, where the net states none or another is wanted.",
)
@click.option("--with-preprocessing", is_flag=True, help="Let the .onnx read pictures (uint8, RGB) and give the score.")
@click.option(
    "--picture-layout",
    type=click.Choice(["hwc", "nchw"]),
    help="With --with-preprocessing: hwc, one picture (the default), or nchw, a batch.",
)
@click.option("--score", metavar="NAME", help="With --with-preprocessing: the output map; the raw score without it.")
@recipe.options
def command(
    model: tuple[Path, ...],
    outputs: tuple[Path, ...],
    shapes: tuple[str, ...],
    with_preprocessing: bool,
    picture_layout: str | None,
    score: str | None,
    **settings: Any,
) -> None:
    """Convert WEIGHTS (.caffemodel, of any era, or .caffemodel.h5) to other formats.

    NET is the net's .prototxt; without it, the net inside WEIGHTS is taken and made a deploy net. Every OUTPUT holds
    the same port: .pt loads with `caffeport.load`, .py is readable source that needs torch only, .safetensors its
    weights, .pt2 and .onnx run elsewhere. What pictures have to go through first is stored with the model: by the
    data layer of a training net, by --profile, or by the single options below.
    """
    from caffeport.cli.tables import console, number
    from caffeport.port import open_port

    if len(model) > 2:
        raise Refused("convert", f"got {len(model)} files", "NET and WEIGHTS, or WEIGHTS alone")
    net, weights = (model[0] if len(model) == 2 else None), model[-1]
    _check(outputs, with_preprocessing, {"--picture-layout": picture_layout, "--score": score})
    port = open_port(net, weights, shapes=dict(parse_shape(shape) for shape in shapes))
    chosen = recipe.chosen(settings, _stated(net or weights, port, settings))
    if chosen is not None:
        _check_fit(port, chosen)
    pictures = (picture_layout or "hwc", score or "raw") if with_preprocessing else None
    port = replace(port, recipe=chosen, pictures=pictures)
    graph, out, progress = port.graph, console(), console(stderr=True)
    for note in port.notes:
        progress.print(note, markup=False)
    if port.unused:
        progress.print(f"unused layers of {weights}: {', '.join(port.unused)}", markup=False)
    for output in outputs:
        with progress.status(f"writing {output}"):
            _write(port, output)
        out.print(f"{output}  {number(output.stat().st_size)} bytes", markup=False)
    if chosen is not None:
        out.print(str(chosen), markup=False, style="dim")
    layers = sum(1 for _ in graph.computing)
    out.print(f"{graph.name or weights.name}: {layers} layers, {number(graph.parameters)} parameters", markup=False)


def _write(port: Port, output: Path) -> None:
    """Write one file, once there is room for its weights: on a full disk torch's own writers end the process."""
    from caffeport.artefacts import write

    if output.suffix.lower() != ".py":
        outputs_.check_file(output, 4 * port.graph.parameters)
    with outputs_.writing(output):
        write(port, output)


def _check(outputs: tuple[Path, ...], with_preprocessing: bool, only_with: dict[str, str | None]) -> None:
    """Refuse, before anything is read, what could not be written and options that nothing would heed."""
    from caffeport.artefacts import writer

    for output in outputs:
        writer(output)
        outputs_.check_file(output)
    if with_preprocessing and not any(output.suffix.lower() == ".onnx" for output in outputs):
        raise Refused("--with-preprocessing", "is given without an .onnx to write", "", "add -o MODEL.onnx")
    for flag, value in only_with.items():
        if value is not None and not with_preprocessing:
            raise Refused(flag, "is given without --with-preprocessing", "", "give both, or neither")


def _check_fit(port: Port, chosen: Recipe) -> None:
    """Refuse a preprocessing whose pictures the net could not read."""
    from caffeport.transform.fit import misfit

    inputs = port.graph.inputs
    problem = misfit(chosen.preprocessing, inputs[0].shape[1:], port.graph.name or "net") if len(inputs) == 1 else None
    if problem is not None:
        raise problem


def _stated(net: Path, port: Port, settings: dict[str, Any]) -> Recipe | None:
    """The preprocessing that the net's own data layer states, where no profile replaces it."""
    from caffeport.artefacts.net_recipe import recipe_of_net
    from caffeport.cli.tables import console

    inputs = port.graph.inputs
    if settings["profile"] or len(inputs) != 1 or len(inputs[0].shape) != 4:
        return None
    mean_given = settings["mean"] is not None or settings["mean_values"] is not None
    found = recipe_of_net(net, inputs[0].blob, inputs[0].shape[1], mean_given)
    if found.note:
        console(stderr=True).print(found.note, markup=False, soft_wrap=True)
    return found.recipe


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``data=1x3x227x227`` -> ('data', (1, 3, 227, 227)); without a name the blob is called data."""
    blob, _, sides = text.rpartition("=")
    try:
        return blob or "data", tuple(int(side) for side in sides.replace(",", "x").split("x"))
    except ValueError:
        raise Refused("--input-shape", f"is {text!r}", "BLOB=NxCxHxW, such as data=1x3x227x227") from None

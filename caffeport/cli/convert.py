"""`caffeport convert`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
    default="hwc",
    show_default=True,
    help="With --with-preprocessing: one picture, height x width x channels, or a batch.",
)
@click.option(
    "--score", default="raw", show_default=True, metavar="NAME", help="With --with-preprocessing: the output map."
)
@recipe.options
def command(
    model: tuple[Path, ...],
    outputs: tuple[Path, ...],
    shapes: tuple[str, ...],
    with_preprocessing: bool,
    picture_layout: str,
    score: str,
    **settings: Any,
) -> None:
    """Convert WEIGHTS (.caffemodel, of any era, or .caffemodel.h5) to other formats.

    NET is the net's .prototxt; without it, the net inside WEIGHTS is taken and made a deploy net. Every OUTPUT holds
    the same port: .pt loads with `caffeport.load`, .py is readable source that needs torch only, .safetensors its
    weights, .pt2 and .onnx run elsewhere. What pictures have to go through first is stored with the model: by the
    data layer of a training net, by --profile, or by the single options below.
    """
    from caffeport.artefacts import write, writer
    from caffeport.cli.tables import console, number
    from caffeport.port import open_port

    if len(model) > 2:
        raise Refused("convert", f"got {len(model)} files", "NET and WEIGHTS, or WEIGHTS alone")
    net, weights = (model[0] if len(model) == 2 else None), model[-1]
    for output in outputs:
        writer(output)
    port = open_port(net, weights, shapes=dict(parse_shape(shape) for shape in shapes))
    chosen = recipe.chosen(settings, _stated(net or weights, port, settings))
    port = replace(port, recipe=chosen, pictures=(picture_layout, score) if with_preprocessing else None)
    graph, out, progress = port.graph, console(), console(stderr=True)
    for note in port.notes:
        progress.print(note, markup=False)
    if port.unused:
        progress.print(f"unused layers of {weights}: {', '.join(port.unused)}", markup=False)
    for output in outputs:
        with progress.status(f"writing {output}"):
            write(port, output)
        out.print(f"{output}  {number(output.stat().st_size)} bytes", markup=False)
    if chosen is not None:
        out.print(str(chosen), markup=False, style="dim")
    layers = sum(1 for _ in graph.computing)
    out.print(f"{graph.name or weights.name}: {layers} layers, {number(graph.parameters)} parameters", markup=False)


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

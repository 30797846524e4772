"""Fills the parts of README.md that the program itself tells: the help of every verb, and the layer table.

`python .ci/readme.py` rewrites the file; a test compares it with what the program says today.
"""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from caffeport.cli import VERBS, cli
from caffeport.support import support

README = Path(__file__).parents[1] / "README.md"


def render(text: str) -> str:
    """The text with everything between ``<!-- name -->`` and ``<!-- end -->`` made anew."""
    return re.sub(r"(<!-- (help|layers) -->\n).*?(<!-- end -->)", _part, text, flags=re.DOTALL)


def _part(match: re.Match[str]) -> str:
    made = {"help": _help, "layers": _layers}[match[2]]()
    return f"{match[1]}\n{made}\n{match[3]}"


def _help() -> str:
    """Every verb's --help, 100 columns wide."""
    blocks = []
    for verb in VERBS:
        result = CliRunner().invoke(cli, [verb, "--help"], prog_name="caffeport", terminal_width=100)
        blocks.append(f"### caffeport {verb}\n\n```text\n{result.output.rstrip()}\n```\n")
    return "\n".join(blocks)


def _layers() -> str:
    rows = ["| type | from | ONNX | what it computes |", "| --- | --- | --- | --- |"]
    for one in support():
        cells = (" / ".join((one.type, *one.aliases)), one.fork, one.onnx, one.about)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    README.write_text(render(README.read_text()))

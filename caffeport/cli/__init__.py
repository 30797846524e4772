"""The command line: one file per verb, each parses, calls the library function of the same name, and prints.

Results go to stdout, progress to stderr. Exit codes: 0 parity or done, 1 no parity, 2 refused or unreadable.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from caffeport.errors import CaffeportError, Refused
from caffeport.version import __version__

#: verb -> its one-line help; the file of a verb is imported only when it is called, so that --help stays quick.
VERBS = {
    "convert": "Convert a Caffe model to .pt, .safetensors, .py, .pt2 or .onnx.",
    "verify": "Prove a port beside what Caffe computed, layer by layer.",
    "golden": "Record what Caffe computes where it still runs, and check it.",
    "predict": "Predict for pictures, with the preprocessing that the model carries.",
    "evaluate": "Measure predictions beside the truth: ranks, distributions, plots.",
    "pack": "Decode a data set once into a memory-mapped array.",
    "inspect": "Show what is in a file that Caffe wrote.",
    "upgrade": "Bring a V0 or V1 net, or its weights, to today's form.",
    "layers": "List the layer types and what is ported of each.",
}


class _Verbs(click.Group):
    """A group that imports a verb when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"caffeport.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="caffeport %(version)s")
def cli() -> None:
    """Brings Caffe models back to life: .caffemodel to PyTorch and ONNX, proven layer by layer."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what the user did wrong is one sentence on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        with _ended_as_interrupted():
            cli.main(arguments, prog_name="caffeport", standalone_mode=False)
    except CaffeportError as error:
        _fail(str(error))
    except click.exceptions.Abort:
        _fail("stopped")
    except ImportError as error:
        what = f"a package that it needs cannot be imported ({error})"
        _fail(str(Refused("caffeport", what, todo="pip install caffeport brings it")))
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our stdout has gone (`| head`): not an error, and nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(str(Refused(str(error.filename or "system"), f"cannot be used ({error.strerror or error})")))


@contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """What ends a process (a batch system, a closed terminal) clears up as Ctrl-C does: no half file is left."""
    ends = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    main_thread = threading.current_thread() is threading.main_thread()
    ours = [number for number in ends if main_thread and signal.getsignal(number) is signal.SIG_DFL]  # not nohup's
    for number in ours:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _fail(message: str) -> Any:
    click.echo(message, err=True)
    sys.exit(2)

"""The README tells the truth: its generated parts are today's, its commands exist, its files are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from caffeport.cli import VERBS, cli

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", TEXT, re.MULTILINE)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / ".ci" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_help_texts_and_layer_table_are_todays() -> None:
    assert generator().render(TEXT) == TEXT, "run: .venv/bin/python .ci/readme.py"


@pytest.mark.parametrize("line", [line for line in COMMANDS if "caffeport" in line])
def test_commands_parse(line: str) -> None:
    verb, *arguments = line.split()[1:]
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None, f"no verb {verb}"
    command.make_context(verb, arguments)


@pytest.mark.parametrize("target", [line.split()[1] for line in COMMANDS if line.startswith("make")])
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:caffeport|golden|proto|tests)/[\w./]*)`", TEXT))))
def test_files_exist(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_file(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert command.name == verb
    assert command.help
    assert all(getattr(param, "help", None) for param in command.params if isinstance(param, click.Option))

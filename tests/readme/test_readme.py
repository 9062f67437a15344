# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run what the README shows."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from grata_monai.cli.main import main

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    joined = "\n".join(blocks("bash")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in joined.splitlines() if line.strip()]


def test_python_blocks_run_in_order(capsys):
    namespace = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    assert "learning_rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [c for c in commands() if c[0] == "grata-monai"], ids=lambda c: " ".join(c[1:4])
)
def test_commands_and_options_exist(command):
    names = []
    group = main
    for word in command[1:]:
        sub = group.get_command(None, word) if hasattr(group, "get_command") else None
        if sub is None:
            break
        names.append(word)
        group = sub
    result = CliRunner().invoke(main, [*names, "--help"])
    assert result.exit_code == 0, result.output
    for option in (word for word in command if word.startswith("--")):
        assert option in result.output


def test_scripts_and_files_named_exist():
    for command in commands():
        if command[0] == "bash":
            assert (REPOSITORY / command[1]).is_file()
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / path).exists(), path


def test_bundle_overrides_are_keys_of_the_configuration():
    for command in commands():
        if command[:3] == ["python", "-m", "monai.bundle"]:
            config = command[command.index("--config_file") + 1]
            keys = json.loads((REPOSITORY / config).read_text())
            given = {word[2:] for word in command if word.startswith("--")} - {"config_file"}
            assert given <= set(keys)

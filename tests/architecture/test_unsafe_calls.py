# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Nothing in the package runs code, or starts programs, at the word of a file that it reads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "grata_monai"
OWN_PICKLES = {
    "adapters/checks.py": "of objects that it has just made",
    "benchmark/speed/apart.py": "through a pipe between processes of its own",
}
MODULES = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
BUILTINS = {"__import__", "compile", "eval", "exec"}
CALLS = {
    "os.popen": "starts a shell",
    "os.system": "starts a shell",
    "pd.read_pickle": "unpickles",
    "pandas.read_pickle": "unpickles",
    "shutil.unpack_archive": "writes where the archive says",
    "tempfile.mktemp": "gives a name that others can take",
}
METHODS = dict.fromkeys(("extract", "extractall"), "writes where the archive says")


def unsafe_calls(source: str) -> list[str]:
    """Return what a module must not do, with its lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [f"{node.lineno}: imports {n}" for n in names if n.split(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            reason = _why_unsafe(node)
            if reason:
                found.append(f"{node.lineno}: {ast.unparse(node.func)} {reason}")
    return found


def _why_unsafe(call: ast.Call) -> str | None:
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    needed = {"torch.load": "weights_only=True", "Environment": "autoescape=True"}
    if name in needed and needed[name] not in {f"{key}={value}" for key, value in options.items()}:
        return f"without {needed[name]}"
    if name == "Image.open" and "formats" not in options:
        return "without formats: PIL starts other programs for some"
    if options.get("shell", "False") != "False" or options.get("allow_pickle", "False") != "False":
        return "with shell or allow_pickle"
    if name in BUILTINS:
        return "runs code"
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    # text methods of pandas, such as table["x"].str.extract, are none of archives
    of_text = name.endswith((".str.extract", ".str.extractall"))
    return CALLS.get(name) or (None if of_text else METHODS.get(method))


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "import os\nos.system(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=flag)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "zipfile.ZipFile(path).extractall(folder)",
        "archive.extract(name)",
        "Image.open(path)",
        "Environment(loader=x)",
    ],
)
def test_the_search_finds(source):
    assert len(unsafe_calls(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "network.eval()",
        "torch.compile(network)",
        "re.compile(text)",
        "torch.load(path, map_location='cpu', weights_only=True)",
        "np.load(path)",
        "subprocess.run([program])",
        "column.str.extract(pattern)",
        "Image.open(path, formats=IMAGE_FORMATS)",
    ],
)
def test_the_search_spares(source):
    assert unsafe_calls(source) == []


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_no_module_runs_what_a_file_says(path):
    found = unsafe_calls(path.read_text(encoding="utf-8"))
    if path.relative_to(PACKAGE).as_posix() in OWN_PICKLES:
        found = [line for line in found if not line.endswith("imports pickle")]
    assert found == []

# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The bundle's files are those that MONAI's model zoo asks for."""

from __future__ import annotations

import configparser
import importlib
import json
import re

import pytest
from monai.bundle import ComponentLocator, ConfigParser

import grata_monai
from tests.bundle.conftest import BUNDLE, CONFIGS, REPOSITORY

FILES = [
    "LICENSE",
    "configs/benchmark.json",
    "configs/evaluate.json",
    "configs/fast.json",
    "configs/inference.json",
    "configs/logging.conf",
    "configs/metadata.json",
    "configs/multi_gpu_evaluate.json",
    "configs/multi_gpu_inference.json",
    "configs/multi_gpu_train.json",
    "configs/sliding_window.json",
    "configs/train.json",
    "docs/README.md",
    "docs/annotation.md",
    "docs/data_license.txt",
    "docs/safety.md",
    "docs/scaling.md",
    "large_files.yml",
]
REQUIRED_KEYS = {
    "schema",
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}
TENSOR_KEYS = {
    "type",
    "format",
    "num_channels",
    "spatial_shape",
    "dtype",
    "value_range",
    "is_patch_data",
    "channel_def",
}
CONFIG_NAMES = sorted(p.stem for p in CONFIGS.glob("*.json") if p.stem != "metadata")


def bundle_files():
    """Files of the bundle without what runs leave behind (git ignores it)."""
    return [
        path
        for path in BUNDLE.rglob("*")
        if path.is_file() and path.relative_to(BUNDLE).parts[0] not in {"models", "eval"}
    ]


def read(name):
    return json.loads((CONFIGS / f"{name}.json").read_text())


def walk(node):
    """Yield all dictionaries in a config."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from walk(child)


def test_files_are_there_and_small_and_none_is_python():
    names = sorted(str(path.relative_to(BUNDLE)) for path in bundle_files())
    assert names == FILES
    assert max(path.stat().st_size for path in bundle_files()) < 25 * 2**20
    assert (BUNDLE / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()


def test_metadata_has_the_schemas_keys_and_a_changelog_of_its_version():
    metadata = read("metadata")
    assert metadata.keys() >= REQUIRED_KEYS
    assert metadata["version"] == grata_monai.__version__
    assert metadata["version"] in metadata["changelog"]
    assert metadata["required_packages_version"]["grata-monai"] == grata_monai.__version__
    assert isinstance(metadata["supported_apps"], dict)


@pytest.mark.parametrize(
    ("side", "name", "channels"), [("inputs", "image", 3), ("outputs", "pred", 2)]
)
def test_network_data_format(side, name, channels):
    tensors = read("metadata")["network_data_format"][side]
    assert set(tensors) == {name}
    tensor = tensors[name]
    assert tensor.keys() >= TENSOR_KEYS
    assert tensor["num_channels"] == channels == len(tensor["channel_def"])
    assert sorted(tensor["channel_def"]) == [str(index) for index in range(channels)]
    assert tensor["spatial_shape"] == ["32*n", "32*n"]


@pytest.mark.parametrize("name", CONFIG_NAMES)
def test_targets_exist_in_monai_or_in_an_installed_package(name):
    targets = {node["_target_"] for node in walk(read(name)) if "_target_" in node}
    for target in targets:
        if "." not in target:
            assert ComponentLocator().get_component_module_name(target), target
            continue
        module, attribute = target.rsplit(".", 1)
        assert module.split(".")[0] in {"grata_monai", "monai", "torch", "ignite"}
        assert callable(getattr(importlib.import_module(module), attribute)), target


@pytest.mark.parametrize("name", ["inference", "train"])
def test_conventional_keys(name):
    keys = {"bundle_root", "device", "network_def", "output_dir", "dataset_dir", "run"}
    assert read(name).keys() >= keys


def test_logging_conf_sends_everything_to_standard_output():
    parser = configparser.ConfigParser()
    parser.read(CONFIGS / "logging.conf")
    assert parser["handler_consoleHandler"]["args"] == "(sys.stdout,)"
    assert parser["logger_root"]["level"] == "INFO"


def test_no_large_file_is_promised():
    lines = (BUNDLE / "large_files.yml").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["large_files: []"]


def test_readme_has_the_zoos_headings_and_describes_the_keys_as_they_are():
    readme = (BUNDLE / "docs" / "README.md").read_text()
    headings = re.findall(r"^#+ (.+)$", readme, flags=re.M)
    for heading in (
        "Model Overview",
        "Data",
        "Preprocessing",
        "Input",
        "Output",
        "Training configuration",
        "Performance",
        "MONAI Bundle Commands",
        "Limitations",
        "References",
        "License",
    ):
        assert heading in headings
    tables = readme.split("| key | default |")[1:]
    counts = {"inference": 25, "sliding_window": 3, "train": 20}
    for (config, count), table in zip(counts.items(), tables, strict=True):
        defaults = read(config)
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| ", table, flags=re.M)
        assert len(rows) == count
        for key, default in rows:
            value = defaults[key]
            if not (isinstance(value, str) and value.startswith("$")) and value is not None:
                assert default.strip("`") == (
                    value if isinstance(value, str) else json.dumps(value)
                )


@pytest.mark.parametrize(
    "key",
    [
        "bundle_root",
        "device",
        "network",
        "train#trainer#max_epochs",
        "train#dataset#data",
        "train#handlers",
        "validate#dataset#data",
    ],
)
def test_train_config_has_the_keys_that_monai_label_overrides(key):
    parser = ConfigParser(read("train"))
    assert key in parser
    assert parser.get(key)


def test_all_preprocessings_cut_a_region_of_the_configs_size():
    for name in ("inference", "train"):
        config = read(name)
        assert config["roi_size"] == 800
        sizes = [
            node["roi_size"] for node in walk(config) if node is not config and "roi_size" in node
        ]
        # One for each preprocessing, and one for what the run writes down of itself.
        assert sizes == ["@roi_size"] * {"inference": 2, "train": 3}[name]


def test_inference_on_several_gpus_starts_as_on_one():
    assert read("inference")["initialize"][0] == "$@processes"
    overlay = read("multi_gpu_inference")
    assert overlay["processes"].startswith("$grata.start_distributed(")
    assert overlay["+checks"] == ["$@share"]
    assert overlay["+finalize"] == ["$grata.stop_distributed()"]
    assert not overlay.keys() & {"initialize", "run", "finalize"}


def test_training_on_several_gpus_starts_as_on_one():
    distributed, *others = read("multi_gpu_train")["initialize"]
    assert distributed.startswith("$grata.start_distributed(")
    assert others == read("train")["initialize"]

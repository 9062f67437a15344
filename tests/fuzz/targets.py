# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: a strategy of inputs per reader, and how the reader is called.

A reader either accepts an input or refuses it with an error of ours. Whatever else it raises is a
crash, and so is a refusal that does not name the file, where the reader promises that it does.
"""

from tests.fuzz import annotation, lists, models, pictures, raw, runs
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    **pictures.TARGETS,
    **lists.TARGETS,
    **runs.TARGETS,
    **models.TARGETS,
    **raw.TARGETS,
    **annotation.TARGETS,
}
"""Every reader by its name."""

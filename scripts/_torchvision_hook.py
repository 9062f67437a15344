# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Let a torchvision that was built for CUDA be imported beside a torch for the CPU.

``scripts/setup_label.sh`` copies this file into its environment, where needed. Such a torchvision
cannot load its compiled operators and then fails while describing two of them. Naming those two
beforehand is enough: what MONAI Label uses of torchvision is plain Python.
"""

from __future__ import annotations

import sys


class _NameOperatorsFirst:
    """Finds nothing; the first search for torchvision is the moment to act.

    Every interpreter of the environment loads this file, so it must not import torch itself.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        # Definitions last as long as the library object: keep it.
        self.library = torch.library.Library("torchvision", "DEF")
        boxes = "Tensor dets, Tensor scores, float iou_threshold"
        for operator in ("nms", "qnms"):
            self.library.define(f"{operator}({boxes}) -> Tensor")
        _kept.append(self)


_kept = []
sys.meta_path.insert(0, _NameOperatorsFirst())

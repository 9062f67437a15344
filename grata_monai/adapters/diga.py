# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DIGA: mixed statistics, then prototypes of the current and of all earlier images."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.functional import (
    CLASS_VIEWS,
    Prototypes,
    masked_prototypes,
    merge_prototypes,
    mixture_logits,
    prototype_scores,
)
from grata_monai.functional.precision import at_least_single
from grata_monai.state import (
    MixedStatistics,
    StatisticsPolicy,
    capture_classifier_input,
    require_finite,
)

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class DIGA(Adapter):
    r"""Let prototypes of confidently predicted classes vote on each pixel; nothing is trained.

    Statistics of all BN layers are a fixed mixture (distribution adaptation). With F the features
    before the classifier, P_0 the prediction, and pseudo labels where it is sure (semantic
    adaptation):

    .. math::
        q_c &= \mathrm{mean}\{F(u) : \hat y(u) = c\}, \qquad
        h_c \leftarrow (1 - \rho) h_c + \rho q_c \\
        w_c(u; r) &= \mathrm{softmax}_c\big(-\lVert F(u) - r_c \rVert_2 / \tau\big) \\
        P &= \phi\,\big(\kappa\, w(h) + (1 - \kappa)\, w(q)\big) + (1 - \phi)\, P_0

    A set of prototypes that lacks a class to decide between has no vote; P_0 takes its place. The
    logits are those of P, finite always. F is the input of the convolution that is called last,
    resized to the logits' size where it is smaller. Costs one forward pass, with a sliding window
    two: prototypes are always those of the whole image.

    Args:
        class_view: ``"binary"``: a structure and its background for each channel, 2 prototypes
            each; ``"nested3"``: background, rim and cup of disc (channel 0) and cup (channel 1).
        source_share: λ of the statistics in [0, 1]; 0.8, authors' code, as all that follow.
        confidence: Least probability of a pseudo label, in [0.5, 1]; 0.9.
        rho: ρ, how fast historical prototypes follow, in [0, 1]; 0.1.
        kappa: κ, share of the historical vote, in [0, 1]; 0.8.
        fusion: φ, share of the prototypes, in [0, 1]; 0.8. 0: mixed statistics alone.
        tau: τ, temperature of the distances, > 0; 1.
        life_cycle: When to go back to the source and forget the prototypes (see ``Adapter``).
        seed: Of no effect.

    Reference:
        W. Wang et al., "Dynamically Instance-Guided Adaptation: A Backward-Free Approach for
        Test-Time Domain Adaptive Semantic Segmentation", CVPR 2023.

    Differs from the reference code: historical prototypes learn from pseudo labels, as published,
    never from labels (there from the second image on); sigmoid outputs; no vote where a
    class is missing, which there is NaN or one class everywhere; a batch counts as one image.
    """

    def __init__(
        self,
        *,
        class_view: Literal["binary", "nested3"] = "binary",
        source_share: float = 0.8,
        confidence: float = 0.9,
        rho: float = 0.1,
        kappa: float = 0.8,
        fusion: float = 0.8,
        tau: float = 1.0,
        life_cycle: LifeCycle = "per_dataset",
        seed: int = 0,
    ) -> None:
        super().__init__(life_cycle=life_cycle, seed=seed)
        check_choice("DIGA", "class_view", class_view, CLASS_VIEWS)
        check_number("DIGA", "source_share", source_share, minimum=0.0, maximum=1.0)
        check_number("DIGA", "confidence", confidence, minimum=0.5, maximum=1.0)
        check_number("DIGA", "rho", rho, minimum=0.0, maximum=1.0)
        check_number("DIGA", "kappa", kappa, minimum=0.0, maximum=1.0)
        check_number("DIGA", "fusion", fusion, minimum=0.0, maximum=1.0)
        check_number("DIGA", "tau", tau, minimum=1e-6)
        self.class_view = class_view
        self.source_share = source_share
        self.confidence = confidence
        self.rho = rho
        self.kappa = kappa
        self.fusion = fusion
        self.tau = tau

    def _check(self, network: nn.Module) -> None:
        with capture_classifier_input(network):
            pass

    def _policy(self) -> StatisticsPolicy:
        return MixedStatistics(source_share=self.source_share)

    def _start(self) -> None:
        self._history: Prototypes | None = None
        self._instance: Prototypes | None = None
        self._latest: tuple[Tensor, Tensor, Tensor] | None = None

    def _update(self, images: Tensor) -> dict[str, float]:
        with torch.no_grad():
            logits, features = self._see(images)
            require_finite("prediction", [logits, features])
            masks = CLASS_VIEWS[self.class_view].masks(logits.to(features), self.confidence)
            current = masked_prototypes(features, masks)
            history = current
            if self._history is not None:
                means, seen = self._history
                old = Prototypes(means.to(current.means), seen.to(current.seen))
                history = merge_prototypes(old, current, self.rho)
        self._history, self._instance = history, current
        self._latest = (images, logits, features)
        return {
            "prototypes": float(history.seen.sum()),
            "prototypes_of_image": float(current.seen.sum()),
        }

    def _predict(self, images: Tensor) -> Tensor:
        """Return the logits of the fused probability."""
        latest, self._latest = self._latest, None
        if latest is not None and latest[0] is images:
            _, logits, features = latest
        else:
            logits, features = self._see(images)
        # What is left where an image made no update belongs to an earlier image.
        instance = self._instance if self.trace_.get("updated") else None
        exact = logits.to(features)
        historical_votes = self._vote(self._history, exact, features)
        votes = torch.stack([historical_votes, self._vote(instance, exact, features), exact])
        shares = (self.fusion * self.kappa, self.fusion * (1.0 - self.kappa), 1.0 - self.fusion)
        weights = votes.new_tensor(shares).view(-1, *[1] * exact.ndim)
        return mixture_logits(votes, weights).to(logits.dtype)

    def _vote(self, prototypes: Prototypes | None, logits: Tensor, features: Tensor) -> Tensor:
        """Return the prototypes' logits, and the network's own where they cannot decide."""
        if prototypes is None:
            return logits
        scores = prototype_scores(features, prototypes.means.to(features), self.tau)
        seen = prototypes.seen.to(features.device)
        votes, decided = CLASS_VIEWS[self.class_view].logits(scores, seen)
        return torch.where(decided.view(1, -1, *[1] * (logits.ndim - 2)), votes, logits)

    def _see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, and the features before them in their size and at least float32."""
        network = self._bound().network
        with capture_classifier_input(network) as seen:
            logits: Tensor = network(images)
        features = at_least_single(seen.features)
        size = logits.shape[2:]
        if features.shape[2:] != size:
            features = interpolate(features, size, mode=_MODES[len(size)], align_corners=False)
        return logits, features

    def _method_state(self) -> dict[str, Any]:
        history = self._history
        return {
            "class_view": self.class_view,
            "means": None if history is None else history.means.clone(),
            "seen": None if history is None else history.seen.clone(),
        }

    def _load_method_state(self, state: dict[str, Any]) -> None:
        if state["class_view"] != self.class_view:
            raise ValueError(f"its class_view is {state['class_view']!r}, not {self.class_view!r}")
        means, seen = state["means"], state["seen"]
        self._history = None if means is None else Prototypes(means.clone(), seen.clone())

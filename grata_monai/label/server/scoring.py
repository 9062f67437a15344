# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Active learning: score studies without labels, and give the hardest first."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from tqdm import tqdm

from grata_monai.label.results import finite_or_none
from grata_monai.label.server.datastore import FundusDatastore
from grata_monai.label.server.errors import as_client_error
from grata_monai.label.service import SegmentationService
from grata_monai.label.uncertainty import Uncertainty, rank_uncertainty

KEY = "uncertainty"
_logger = logging.getLogger(__name__)


class UncertaintyScoring(ScoringMethod):
    """Measures how unsure the model is about each study that has no final label map yet.

    Measures are kept, one by one, with the version of the model they belong to, so that a run that
    was stopped goes on, and one without new studies does nothing. The score is the mean rank among
    all studies that were measured (``rank_uncertainty``).

    Args:
        service: What measures.
    """

    def __init__(self, service: SegmentationService) -> None:
        super().__init__("Uncertainty without labels: entropy, view disagreement, misalignment")
        self.service = service

    def __call__(self, request: Mapping[str, Any], datastore: FundusDatastore) -> dict[str, Any]:
        """Score all studies that need it.

        Args:
            request: ``force``: measure all again.
            datastore: The studies.

        Returns:
            How many were "scored" and which "failed", with the reason.
        """
        stale = self.stale(datastore, force=bool(request.get("force")))
        failed: dict[str, str] = {}
        for study in tqdm(stale, desc="scoring", unit="image"):
            facts = self._measure(study, datastore)
            if "error" in facts:
                failed[study] = facts["error"]
            datastore.update_image_info(study, {KEY: facts})
        self._rank(datastore)
        return {"scored": len(stale) - len(failed), "failed": failed}

    def stale(self, datastore: FundusDatastore, *, force: bool = False) -> list[str]:
        """Return the studies without a final label map that the current model has not measured."""
        current = self.service.versions.current().name
        return [
            study
            for study in sorted(datastore.get_unlabeled_images())
            if force or _facts(datastore, study).get("version") != current
        ]

    def _measure(self, study: str, datastore: FundusDatastore) -> dict[str, Any]:
        info = datastore.get_image_info(study)
        version = self.service.versions.current()
        try:
            found, version = self.service.measure(
                datastore.get_image_uri(study),
                whole=self.service.settings.framing == "photographs",
                center=info.get("disc_center"),
            )
        except Exception as error:
            answer = as_client_error(error)
            _logger.warning("%s cannot be scored", study, exc_info=error)
            reason = str(error) if answer is None else str(answer.detail)
            return {"version": version.name, "error": reason or type(error).__name__}
        numbers = {key: finite_or_none(value) for key, value in asdict(found).items()}
        return {"version": version.name, **numbers}

    def _rank(self, datastore: FundusDatastore) -> None:
        """Give every measured study its score among all; the list is written where it changes."""
        names = [one for one in datastore.list_images() if "entropy" in _facts(datastore, one)]
        measures = {one: _uncertainty(_facts(datastore, one)) for one in names}
        datastore.update_many(
            {
                study: {KEY: {**_facts(datastore, study), "score": round(score, 4)}}
                for study, score in rank_uncertainty(measures).items()
            }
        )


class HardestFirst(Strategy):
    """Gives the study that needs a person most.

    Those that somebody else sent back come first, then the most uncertain, then what the asking
    client sent back itself; studies that another client was given within the last half hour wait.
    """

    RESERVED_SECONDS = 1800

    def __init__(self) -> None:
        super().__init__("Sent back first, then the most uncertain")

    def __call__(
        self, request: Mapping[str, Any], datastore: FundusDatastore
    ) -> dict[str, Any] | None:
        """Return ``{"id": ..., "score": ...}``, or None if every study has a final label map."""
        studies = sorted(datastore.get_unlabeled_images())
        if not studies:
            return None
        free = [one for one in studies if not self._is_reserved(one, request, datastore)]
        client = request.get("client_id")
        chosen = max(free or studies, key=lambda one: _urgency(datastore, one, client))
        return {"id": chosen, "score": _facts(datastore, chosen).get("score")}

    def _is_reserved(
        self, study: str, request: Mapping[str, Any], datastore: FundusDatastore
    ) -> bool:
        given = datastore.get_image_info(study).get("strategy", {}).get(request["strategy"], {})
        is_recent = time.time() - given["ts"] < self.RESERVED_SECONDS if given else False
        return bool(is_recent and given.get("client_id") != request.get("client_id"))


def _facts(datastore: FundusDatastore, study: str) -> dict[str, Any]:
    facts = datastore.get_image_info(study).get(KEY)
    return facts if isinstance(facts, dict) else {}


def _uncertainty(facts: Mapping[str, Any]) -> Uncertainty:
    values = (facts.get(one.name) for one in fields(Uncertainty))
    return Uncertainty(*(math.nan if value is None else float(value) for value in values))


def _urgency(datastore: FundusDatastore, study: str, client: str | None) -> tuple[int, float]:
    """Return what orders studies; those that could not be measured have no score."""
    review = datastore.get_image_info(study).get("review") or {}
    turn = 0
    if review.get("decision") == "sent_back":
        turn = -1 if client and review.get("client_id") == client else 1
    return turn, _facts(datastore, study).get("score", 0.0)

# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Fundus domains, MONAI datalists and synthetic fundus photographs."""

from __future__ import annotations

from grata_monai.data._datalist_csv import FundusItem, listed_domains
from grata_monai.data._image_files import IMAGE_SUFFIXES, natural_key
from grata_monai.data._tables import read_csv_rows
from grata_monai.data._usable import usable_items
from grata_monai.data.datalists import fundus_datalist, has_labels, split_datalist
from grata_monai.data.domains import DOMAINS, FundusDomain, domain
from grata_monai.data.synthetic import paint_fundus, write_synthetic_domain
from grata_monai.data.synthetic_domains import (
    SYNTHETIC_DOMAINS,
    SyntheticDomain,
    synthetic_domain,
)
from grata_monai.data.synthetic_photograph import paint_photograph

__all__ = [
    "DOMAINS",
    "IMAGE_SUFFIXES",
    "SYNTHETIC_DOMAINS",
    "FundusDomain",
    "FundusItem",
    "SyntheticDomain",
    "domain",
    "fundus_datalist",
    "has_labels",
    "listed_domains",
    "natural_key",
    "paint_fundus",
    "paint_photograph",
    "read_csv_rows",
    "split_datalist",
    "synthetic_domain",
    "usable_items",
    "write_synthetic_domain",
]

# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of files from elsewhere, fed with broken and hostile ones."""

# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Files that were made to do harm."""

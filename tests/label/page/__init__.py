# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The review page in a real browser, against a stand-in for the server."""

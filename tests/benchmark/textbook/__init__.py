# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0

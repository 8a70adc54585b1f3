# SPDX-License-Identifier: BSD-3-Clause
"""Programs that use fastnorm."""

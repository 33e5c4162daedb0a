"""Tests of the Python package."""
# SPDX-License-Identifier: Apache-2.0

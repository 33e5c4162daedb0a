"""Tests of what users install."""
# SPDX-License-Identifier: Apache-2.0

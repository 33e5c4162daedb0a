"""Tests of the predictor."""
# SPDX-License-Identifier: Apache-2.0

"""Loads Moka before anything else, and lets the tests share small_models.py."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import moka  # noqa: F401

sys.path.insert(0, str(Path(__file__).parent))
pytest.importorskip("onnx")

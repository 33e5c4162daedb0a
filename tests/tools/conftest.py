"""Makes the scripts in tools/ importable for the tests beside this file."""
# SPDX-License-Identifier: Apache-2.0

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))


@pytest.fixture
def root() -> Path:
    """The root of the repository."""
    return ROOT

"""The page "Adding a tensor type" shows code that the tests compile."""
# SPDX-License-Identifier: Apache-2.0

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_its_example_is_the_compiled_one():
    page = (ROOT / "docs/adding_a_tensor_type.md").read_text()
    (block,) = re.findall(r"```cpp\n(.*?)```", page, re.DOTALL)
    assert block in (ROOT / "moka/ops/metre_test.cpp").read_text()


def test_it_fits_two_screens():
    assert len((ROOT / "docs/adding_a_tensor_type.md").read_text().splitlines()) <= 60

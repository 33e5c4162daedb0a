"""The page "Adding an operator" shows code that the tests compile."""
# SPDX-License-Identifier: Apache-2.0

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_its_example_is_the_compiled_one():
    page = (ROOT / "docs/adding_an_operator.md").read_text()
    (block,) = re.findall(r"```cpp\n(.*?)```", page, re.DOTALL)
    definition = block[block.index("struct Halfsign") : block.index("}  // namespace moka::ops")]
    assert definition in (ROOT / "moka/ops/halfsign_test.cpp").read_text()


def test_it_fits_two_screens():
    assert len((ROOT / "docs/adding_an_operator.md").read_text().splitlines()) <= 60

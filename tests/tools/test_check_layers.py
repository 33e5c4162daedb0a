"""The layer check finds includes that break the table, and mistakes in the table itself."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import check_layers
import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three layers: base, tensor uses base, graph uses tensor."""
    (tmp_path / "CMakeLists.txt").write_text("set(MOKA_LAYERS base tensor\n    graph)\n")
    for layer, uses in {"base": "", "tensor": " USES base LIBRARIES m", "graph": " USES tensor"}.items():
        folder = tmp_path / "moka" / layer
        folder.mkdir(parents=True)
        (folder / "CMakeLists.txt").write_text(f"# comment\nmoka_layer({layer}{uses})\n")
        (folder / f"{layer}.h").write_text("// header\n")
    return tmp_path


def include(tree: Path, layer: str, line: str) -> list[str]:
    (tree / "moka" / layer / "some.cpp").write_text(f"// file\n{line}\n")
    return check_layers.check(tree)


def test_allows_what_the_table_allows(tree):
    assert include(tree, "graph", '#include "moka/tensor/tensor.h"') == []
    assert include(tree, "graph", '#include "moka/graph/graph.h"') == []
    assert include(tree, "graph", "#include <vector>") == []


def test_a_layer_may_use_what_its_layers_use(tree):
    assert include(tree, "graph", '#include "moka/base/base.h"') == []


def test_refuses_a_later_layer_and_says_what_is_allowed(tree):
    [problem] = include(tree, "tensor", '#include "moka/graph/graph.h"')
    assert problem == "moka/tensor/some.cpp:2: moka/tensor may not use moka/graph; it may use base"


def test_angle_brackets_do_not_get_around_it(tree):
    assert len(include(tree, "base", "#  include <moka/graph/graph.h>")) == 1


def test_refuses_a_header_that_is_not_there(tree):
    assert include(tree, "graph", '#include "moka/base/lost.h"') == [
        "moka/graph/some.cpp:2: moka/base/lost.h does not exist"
    ]


def test_refuses_includes_relative_to_the_file(tree):
    [problem] = include(tree, "base", '#include "base.h"')
    assert "from the root" in problem


def test_refuses_a_folder_without_a_place_in_the_order(tree):
    (tree / "moka" / "extra").mkdir()
    [problem] = include(tree, "extra", "")
    assert "moka/extra is not in MOKA_LAYERS" in problem


@pytest.mark.parametrize(
    "uses, words", [("graph", "does not stand before it"), ("nothing", "which is no layer")]
)
def test_refuses_a_wrong_table(tree, uses, words):
    (tree / "moka" / "tensor" / "CMakeLists.txt").write_text(f"moka_layer(tensor USES {uses})\n")
    with pytest.raises(check_layers.LayerError, match=words):
        check_layers.check(tree)


def test_the_table_of_this_repository_is_the_one_on_the_front_page(root):
    order = check_layers.read_order(root)
    uses = check_layers.read_uses(root, order)
    rows = [
        line.split("|")
        for line in (root / "README.md").read_text().splitlines()
        if line.startswith("| moka/")
    ]
    page = {cells[1].strip().removeprefix("moka/"): cells[3].strip() for cells in rows}
    assert page == {layer: ", ".join(named) or "-" for layer, named in uses.items()}

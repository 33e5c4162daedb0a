"""Type stubs: every public name is in them, and signatures are those of the operator table."""
# SPDX-License-Identifier: Apache-2.0

import ast

import pytest

import moka
from moka import stubs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("stubs")
    stubs.write(place)
    return place / "moka"


def names_of(text):
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets}
    return names


def test_every_public_name_is_in_the_stubs(folder):
    assert {n for n in dir(moka._C) if not n.startswith("__")} <= names_of((folder / "_C.pyi").read_text())
    checked = 0
    for module in stubs.modules():
        text = stubs.module_stub(module)
        if text is not None:
            assert set(module.__all__) <= names_of(text), module.__name__
            checked += 1
    assert checked >= 8 and (folder / "__init__.pyi").exists() and (folder / "linalg.pyi").exists()


def test_every_method_of_a_tensor_is_in_its_class(folder):
    tree = ast.parse((folder / "_C.pyi").read_text())
    tensor = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor")
    names = {n.name if isinstance(n, ast.FunctionDef) else n.target.id for n in tensor.body}
    assert {n for n in dir(moka.Tensor) if not n.startswith("_")} <= names
    assert {"__add__", "__getitem__", "__matmul__", "__bool__", "__iter__"} <= names


def test_signatures(folder):
    lines = (folder / "_C.pyi").read_text().splitlines()
    number = "_int | _float | _complex | _bool"
    add = f"def add(input: _Tensor | {number}, other: _Tensor | {number}, *, alpha: {number} = ..."
    assert any(line.startswith(add) for line in lines)
    # Overloads of one name, and sizes that may come one by one.
    assert "    def max(self) -> _Tensor: ..." in lines
    assert "    def max(self, dim: _int, keepdim: _bool = ...) -> tuple[_Tensor, _Tensor]: ..." in lines
    assert "    def view(self, *size: _int) -> _Tensor: ..." in lines
    assert any("float32: _dtype" in line for line in lines)


def test_the_command_writes_them(tmp_path, capsys):
    assert stubs.main([str(tmp_path)]) == 0 and (tmp_path / "moka" / "_C.pyi").exists()
    assert stubs.main([]) == 2 and "usage" in capsys.readouterr().err

"""Writes .pyi stubs: `python -m moka.stubs FOLDER`. Signatures of operators come from the operator table.

Modules whose names are all written out are their own stubs (the package is typed); stubs are made of the
extension and of modules that make names while they run.
"""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import ast
import importlib
import inspect
import keyword
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from . import _C

__all__ = ["main", "module_stub", "write"]

# Modules have types of their own under the names int, float and bool, and Tensor has dtype and device.
_BUILTINS = ("bool", "complex", "float", "int", "str")
_OWN = ("Generator", "Size", "Tensor", "device", "dtype")
_HEAD = "\n".join(
    [
        "from collections.abc import Iterator as _Iterator",
        "from collections.abc import Sequence as _Sequence",
        "from typing import Any, overload",
        *(f"from builtins import {name} as _{name}" for name in _BUILTINS),
    ]
)

# Types of a schema: as parameters, and as results.
_NUMBER = "_int | _float | _complex | _bool"
_PARAMETERS = {
    "Tensor": "_Tensor",
    "Operand": f"_Tensor | {_NUMBER}",
    "Number": _NUMBER,
    "int": "_int",
    "float": "_float",
    "bool": "_bool",
    "str": "_str",
    "DType": "_dtype",
    "Device": "_device | _str | _int",
    "Generator": "_Generator",
    "Tensor[]": "_Sequence[_Tensor]",
    "Tensor?[]": "_Sequence[_Tensor | None]",
    "int[]": "_int | _Sequence[_int]",
    "float[]": "_Sequence[_float]",
    "bool[]": "_Sequence[_bool]",
}
_RESULTS = {
    "Tensor": "_Tensor",
    "Tensor[]": "tuple[_Tensor, ...]",
    **{name: f"_{name}" for name in ("bool", "float", "int")},
}


def _parameter_type(text: str) -> str:
    """A schema's type as Python's: int[2]? is `int | Sequence[int] | None`."""
    optional = text.endswith("?")
    base = re.sub(r"\[\d+\]$", "[]", text.removesuffix("?"))
    return _PARAMETERS.get(base, "Any") + (" | None" if optional else "")


def _parameters(op: dict[str, Any], method: bool) -> str:
    """The parameter list of one overload; sizes at the end may also come one by one."""
    parts, keyword_only, optional = (["self"] if method else []), False, False
    for i, arg in enumerate(op["args"]):
        if method and i == 0:
            continue
        if arg["keyword_only"] and not keyword_only:
            keyword_only = True
            parts.append("*")
        name = arg["name"] + "_" if keyword.iskeyword(arg["name"]) else arg["name"]
        optional = optional or bool(arg["has_default"])
        default = " = ..." if optional and (arg["has_default"] or not keyword_only) else ""
        parts.append(f"{name}: {_parameter_type(arg['type'])}{default}")
    return ", ".join(parts)


def _several_sizes(op: dict[str, Any], method: bool) -> str | None:
    """The same overload with its one list of integers spread out: x.view(2, 3)."""
    args = op["args"][1:] if method else op["args"]
    positional = [a for a in args if not a["keyword_only"]]
    if len(positional) != 1 or not positional[0]["type"].startswith("int[]"):
        return None
    rest = [f"{a['name']}: {_parameter_type(a['type'])} = ..." for a in args if a["keyword_only"]]
    return ", ".join([*(["self"] if method else []), f"*{positional[0]['name']}: _int", *rest])


def _result(op: dict[str, Any]) -> str:
    outs = [_RESULTS.get(kind, "Any") for _, kind in op["outs"]]
    return outs[0] if len(outs) == 1 else f"tuple[{', '.join(outs)}]" if outs else "None"


def _overloads(name: str, forms: list[tuple[str, str]], indent: str) -> list[str]:
    forms = list(dict.fromkeys(forms))
    lines = []
    for parameters, result in forms:
        if len(forms) > 1:
            lines.append(f"{indent}@overload")
        lines.append(f"{indent}def {name}({parameters}) -> {result}: ...")
    return lines


def _by_name() -> dict[str, list[dict[str, Any]]]:
    table: dict[str, list[dict[str, Any]]] = {}
    for op in _C._op_table():
        table.setdefault(op["base"], []).append(op)
    return table


def _forms(ops: list[dict[str, Any]], method: bool) -> list[tuple[str, str]]:
    forms = []
    for op in ops:
        forms.append((_parameters(op, method), _result(op)))
        spread = _several_sizes(op, method)
        if spread is not None:
            forms.append((spread, _result(op)))
    return forms


_TABLE = _by_name()


def _operator_stub(name: str, method: bool, indent: str = "") -> list[str]:
    """Overloads of an operator, of its in-place form (NAME_), or of one whose signature is not known."""
    ops = _TABLE.get(name)
    if ops is None and name.endswith("_"):
        ops = _TABLE.get(name[:-1])
    if ops is None:
        parameters = f"self, {_ANY}" if method else _ANY
        return [f"{indent}def {name}({parameters}) -> Any: ..."]
    # Keyword arguments that every function takes beside the schema's.
    forms = _forms(ops, method)
    tensors = all(op["outs"] and op["outs"][0][1] == "Tensor" for op in ops)
    if tensors and not method and not name.endswith("_"):
        forms = [(_with_out(parameters), result) for parameters, result in forms]
    return _overloads(name, forms, indent)


def _with_out(parameters: str) -> str:
    star = any(part.strip().startswith("*") for part in parameters.split(", "))
    extra = "out: Any = ..." if star else "*, out: Any = ..."
    return f"{parameters}, {extra}" if parameters else extra


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
_BITS = ("and", "or", "xor", "lshift", "rshift")
_OTHER = f"other: _Tensor | {_NUMBER}"
_DUNDER = {
    **{f"__{n}__": _OTHER for n in (*_ARITHMETIC, *_BITS, "matmul", "lt", "le", "gt", "ge")},
    **{f"__r{n}__": f"other: {_NUMBER}" for n in (*_ARITHMETIC, *_BITS)},
    **{f"__i{n}__": _OTHER for n in (*_ARITHMETIC, *_BITS)},
    **{f"__{n}__": "" for n in ("neg", "pos", "abs", "invert")},
}
_CONVERSIONS = {
    **{name: f"_{name}" for name in ("bool", "int", "float", "complex")},
    **{name: "_int" for name in ("len", "index")},
}
_PROPERTIES = {
    "shape": "_Size",
    "dtype": "_dtype",
    "device": "_device",
    "grad": "_Tensor | None",
    "requires_grad": "_bool",
    "is_leaf": "_bool",
    "ndim": "_int",
    **{name: "_Tensor" for name in ("T", "mT", "H", "mH", "data", "real", "imag")},
}
_ANY = "*args: Any, **kwargs: Any"
_METHODS = {
    "size": ["def size(self, dim: None = None) -> _Size: ...", "def size(self, dim: _int) -> _int: ..."],
    "dim": ["def dim(self) -> _int: ..."],
    "numel": ["def numel(self) -> _int: ..."],
    "is_contiguous": [f"def is_contiguous(self, {_ANY}) -> _bool: ..."],
    "backward": [f"def backward(self, {_ANY}) -> None: ..."],
    **{
        name: [f"def {name}(self, {_ANY}) -> _Tensor: ..."]
        for name in "cpu cuda detach detach_ new new_tensor requires_grad_ to type_as".split()
    },
}


def _tensor_class() -> list[str]:
    lines = ["class Tensor:", f"    def __init__(self, {_ANY}) -> None: ..."]
    lines += ["    def __getitem__(self, index: Any) -> _Tensor: ..."]
    lines += ["    def __setitem__(self, index: Any, value: Any) -> None: ..."]
    lines += ["    def __iter__(self) -> _Iterator[_Tensor]: ...", "    def __hash__(self) -> _int: ..."]
    for name in ("eq", "ne"):
        lines.append(f"    def __{name}__(self, other: object) -> _Tensor: ...  # type: ignore[override]")
    for name, other in _DUNDER.items():
        if hasattr(_C.Tensor, name):
            lines.append(f"    def {name}({', '.join(filter(None, ('self', other)))}) -> _Tensor: ...")
    lines += [f"    def __{n}__(self) -> {kind}: ..." for n, kind in _CONVERSIONS.items()]
    for name in sorted(n for n in dir(_C.Tensor) if not n.startswith("_")):
        value = inspect.getattr_static(_C.Tensor, name)
        if name in _PROPERTIES:
            lines.append(f"    {name}: {_PROPERTIES[name]}")
        elif name in _METHODS:
            for form in _METHODS[name]:
                lines += ["    @overload"] * (len(_METHODS[name]) > 1) + [f"    {form}"]
        elif inspect.isfunction(value):
            lines.append(f"    def {name}{_signature(value)}: ...")
        elif name in _TABLE or name.removesuffix("_") in _TABLE:
            lines += _operator_stub(name, True, "    ")
        elif inspect.isdatadescriptor(value) or not callable(value):
            lines.append(f"    {name}: Any")
        else:
            lines.append(f"    def {name}(self, {_ANY}) -> Any: ...")
    return lines


def _signature(function: Any) -> str:
    """A Python function's signature without types that need imports."""
    parts, kinds = [], inspect.Parameter
    seen_star = False
    parameters = list(inspect.signature(function).parameters.values())
    for i, p in enumerate(parameters):
        if p.kind is kinds.KEYWORD_ONLY and not seen_star:
            parts.append("*")
            seen_star = True
        prefix = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(p.kind, "")
        seen_star = seen_star or p.kind is kinds.VAR_POSITIONAL
        typed = "" if i == 0 and p.name == "self" else ": Any"
        parts.append(f"{prefix}{p.name}{typed}" + (" = ..." if p.default is not p.empty else ""))
        following = parameters[i + 1].kind if i + 1 < len(parameters) else None
        if p.kind is kinds.POSITIONAL_ONLY and following is not kinds.POSITIONAL_ONLY:
            parts.append("/")
    result = {"Tensor": "_Tensor", "int": "_int", "bool": "_bool", "None": "None"}.get(
        str(inspect.signature(function).return_annotation), "Any"
    )
    return f"({', '.join(parts)}) -> {result}"


def _extension_stub() -> str:
    lines = [_HEAD]
    classes = [n for n in dir(_C) if isinstance(getattr(_C, n), type) and not n.startswith("_")]
    for name in classes:
        if name == "Tensor":
            lines += _tensor_class()
        elif name == "Size":
            lines += ["class Size(tuple[_int, ...]):"]
            lines += ["    def __init__(self, sizes: Any = ...) -> None: ..."]
            lines += ["    def numel(self) -> _int: ..."]
        elif issubclass(getattr(_C, name), BaseException):
            lines.append(f"class {name}(RuntimeError): ...")
        else:
            lines.append(f"class {name}:\n    def __init__(self, {_ANY}) -> None: ...")
            lines.append("    def __getattr__(self, name: _str) -> Any: ...")
    for name in sorted(n for n in dir(_C) if n not in classes and not n.startswith("__")):
        value = getattr(_C, name)
        if isinstance(value, (_C.dtype, _C.Generator)):
            lines.append(f"{name}: _{type(value).__name__}")
        elif name in ("tensor", "as_tensor", "asarray", "from_numpy"):
            lines.append(f"def {name}({_ANY}) -> _Tensor: ...")
        elif callable(value):
            lines += _operator_stub(name, False)
        else:
            lines.append(f"{name}: {_plain_type(value)}")
    lines += [f"_{name} = {name}" for name in _OWN]
    return "\n".join(lines) + "\n"


def _plain_type(value: Any) -> str:
    kind = type(value).__name__
    return f"_{kind}" if kind in _BUILTINS else "Any"


def _written(tree: ast.Module) -> set[str]:
    """Names that a module's text itself binds."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names} - {"*"}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


class _Shorten(ast.NodeTransformer):
    """Bodies become `...`, values of assignments go, builtin types get names that nothing hides."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.body = [ast.Expr(ast.Constant(...))]
        node.args.defaults = [ast.Constant(...) for _ in node.args.defaults]
        node.args.kw_defaults = [d and ast.Constant(...) for d in node.args.kw_defaults]
        node.decorator_list = [d for d in node.decorator_list if ast.unparse(d) in _DECORATORS]
        self.generic_visit(node.args)
        node.returns = node.returns and self.visit(node.returns)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        kept = [n for n in node.body if isinstance(n, (ast.FunctionDef, ast.AnnAssign, ast.ClassDef))]
        node.body = [self.visit(n) for n in kept] or [ast.Expr(ast.Constant(...))]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        node.value, node.annotation = None, self.visit(node.annotation)
        return node

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Name(f"_{node.id}") if node.id in _BUILTINS else node


_DECORATORS = ("property", "staticmethod", "classmethod", "overload")


def _source_stub(tree: ast.Module) -> list[str]:
    lines = []
    for node in tree.body:
        stars = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not stars:
            lines.append(ast.unparse(node))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("__"):
            lines.append(ast.unparse(_Shorten().visit(node)))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines.append(ast.unparse(_Shorten().visit(node)))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0])[0].isupper():  # the name of a type
            lines.append(ast.unparse(_Shorten().visit(node)))
    return lines


def module_stub(module: ModuleType) -> str | None:
    """The stub of a Python module, or None where its own text says all of its names."""
    tree = ast.parse(Path(module.__file__ or "").read_text())
    public = sorted(getattr(module, "__all__", []))
    written = _written(tree)
    if set(public) <= written:
        return None
    lines = [*_source_stub(tree), _HEAD]
    lines += [f"from moka._C import {name} as _{name}" for name in _OWN]
    if lines[0].startswith("from __future__"):
        lines.pop(0)
    for name in public:
        if name not in written:
            lines += _named(module, name)
        elif name in _assigned(tree) and not name[0].isupper():
            lines.append(f"{name}: {_plain_type(getattr(module, name))}")
    return "\n".join([*lines, f"__all__ = {public!r}"]) + "\n"


def _assigned(tree: ast.Module) -> set[str]:
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}


def _named(module: ModuleType, name: str) -> list[str]:
    """Lines that bind a name which the module makes while it runs."""
    value = getattr(module, name)
    if isinstance(value, ModuleType):
        parent, _, last = value.__name__.rpartition(".")
        return [f"from {parent} import {last} as {name}"]
    own, original = getattr(value, "__module__", None), getattr(value, "__name__", name)
    for there in (name, original):
        if getattr(_C, there, None) is value:
            return [f"from moka._C import {there} as {name}"]
    from_moka = bool(own) and own.startswith("moka") and own != module.__name__
    if inspect.isfunction(value) and from_moka and hasattr(sys.modules[own], value.__name__):
        return [f"from {own} import {value.__name__} as {name}"]
    if inspect.isclass(value) and own and own.startswith("moka"):
        return [f"from {own} import {value.__name__} as {name}"]
    if callable(value):
        try:
            return [f"def {name}{_signature(value)}: ..."]
        except ValueError:
            return [f"def {name}({_ANY}) -> Any: ..."]
    return [f"{name}: {_plain_type(value)}"]


def modules() -> list[ModuleType]:
    """All modules of the package but those that run programs or stand in for others."""
    import moka

    found = [moka]
    for package in found:  # grows while packages are met; moka.compat is not even imported: that has effects
        for entry in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
            own = entry.name.rpartition(".")[2]
            if not own.startswith("_") and own != "compat":
                found.append(importlib.import_module(entry.name))
    return found


def write(folder: Path) -> list[Path]:
    """Write moka/**/*.pyi under `folder`; the paths written."""
    import moka

    root = Path(moka.__file__).parent
    texts = {Path("_C.pyi"): _extension_stub()}
    for module in modules():
        text = module_stub(module)
        if text is not None:
            texts[Path(module.__file__ or "").relative_to(root).with_suffix(".pyi")] = text
    written = []
    for path, text in texts.items():
        target = folder / "moka" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        ast.parse(text)
        target.write_text(text)
        written.append(target)
    return written


def main(arguments: list[str] | None = None) -> int:
    """Write the stubs into the folder that is named."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m moka.stubs FOLDER", file=sys.stderr)
        return 2
    for path in write(Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())

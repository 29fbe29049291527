"""The stub that type checkers read says what the compiled module has: names, and the names of parameters."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import engine
from engine import _kernels

STUB = ast.parse((Path(engine.__file__).parent / "_kernels.pyi").read_text())


def parameters(function: ast.FunctionDef) -> list[str]:
    names = [argument.arg for argument in function.args.args if argument.arg != "self"]
    return names + ([f"**{function.args.kwarg.arg}"] if function.args.kwarg else [])


def stubbed(body: list[ast.stmt], prefix: str = "") -> dict[str, list[str] | None]:
    """Return dotted names with their parameters; None for properties and classes."""
    names: dict[str, list[str] | None] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = None
            names |= stubbed(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
            names[prefix + node.name] = None if is_property else parameters(node)
    return names


def compiled(holder: object, prefix: str = "") -> dict[str, list[str] | None]:
    """Return the same of the module, parameters read from the signature that pybind11 puts first in a docstring."""
    names: dict[str, list[str] | None] = {}
    for name, value in vars(holder).items():
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(value, type):
            names[name] = None
            names |= compiled(value, f"{name}.")
        elif isinstance(value, property):
            names[prefix + name] = None
        elif callable(value):
            signature = value.__doc__.splitlines()[0]
            inside = signature[signature.index("(") + 1 : signature.rindex(")")]
            found = re.findall(r"(?:^|, )(\*\*\w+|\w+)(?=: |$|,)", inside)
            names[prefix + name] = [n for n in found if n != "self"]
    return names


def test_stub_and_module_agree() -> None:
    in_stub, in_module = stubbed(STUB.body), compiled(_kernels)
    assert set(in_stub) == set(in_module)
    different = {name: (in_stub[name], in_module[name]) for name in in_stub if in_stub[name] != in_module[name]}
    named = {name: pair for name, pair in different.items() if pair[1] != ["**kwargs"]}
    assert not named

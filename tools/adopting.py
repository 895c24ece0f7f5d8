"""Rewrites the imports of a project's own files for modules and names that moved; it knows nothing of projects."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from .renames import resolved

Exports = Mapping[str, frozenset[str]]


def exports(package: Path) -> dict[str, frozenset[str]]:
    """Return the names in `__all__` of each public package of the chassis in *package*, by its module."""
    return {f"chassis.{path.parent.name}": frozenset(_all_of(path)) for path in package.glob("chassis/*/__init__.py")}


def rewritten(source: str, module: str | None, package: str, names: Exports) -> str:
    """Return *source* with its imports of what is in *package* as they have to be now, and the names that changed.

    *module* is its own module from the package on, `routes.orders`, or None outside of it, where imports are absolute.
    What is no Python stays as it is.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    lines = source.splitlines(keepends=True)
    renamed: dict[str, str] = {}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in sorted(found, key=lambda node: -node.lineno):
        origin = _origin(node, module, package)
        if origin is None:
            continue
        statements, changed = _statements(node, origin, module, package, names)
        if statements:
            renamed |= changed
            comment = _comment(lines[(node.end_lineno or node.lineno) - 1])
            text = "".join(f"{' ' * node.col_offset}{statement}{comment}\n" for statement in statements)
            lines[node.lineno - 1 : node.end_lineno] = [text]
    text = "".join(lines)
    for old, new in renamed.items():
        text = re.sub(rf"(?<![\w.]){old}(?!\w)", new, text)
    return text


def _statements(
    node: ast.ImportFrom, origin: str, module: str | None, package: str, names: Exports
) -> tuple[list[str], dict[str, str]]:
    """Return what replaces the import, nothing if it can stay, and the names that changed with it."""
    grouped: dict[str, list[str]] = {}
    renamed, is_moved = {}, False
    for alias in node.names:
        target, new = resolved(origin, alias.name, names)
        is_moved |= (target, new) != (origin, alias.name)
        if new != alias.name and not alias.asname:
            renamed[alias.name] = new
        grouped.setdefault(target, []).append(f"{new} as {alias.asname}" if alias.asname else new)
    if not is_moved:
        return [], {}
    places = ((_place(target, module, package), items) for target, items in grouped.items())
    return [f"from {place} import {', '.join(items)}" for place, items in places], renamed


def _origin(node: ast.ImportFrom, module: str | None, package: str) -> str | None:
    """Return the module, from the package on, that *node* imports from; None if it is another package's."""
    name = node.module or ""
    if node.level:
        if module is None:
            return None
        parents = module.split(".")[: -node.level]
        return ".".join([*parents, *([name] if name else [])])
    if name == package:
        return ""
    return name.removeprefix(f"{package}.") if name.startswith(f"{package}.") else None


def _place(target: str, module: str | None, package: str) -> str:
    if module is None:
        return f"{package}.{target}".rstrip(".")
    own, parts = module.split(".")[:-1], [part for part in target.split(".") if part]
    shared = 0
    while shared < min(len(own), len(parts)) and own[shared] == parts[shared]:
        shared += 1
    return "." * (len(own) - shared + 1) + ".".join(parts[shared:])


def _comment(line: str) -> str:
    match = re.search(r"\s*(# .*)$", line.rstrip("\n"))
    return f"  {match[1]}" if match else ""


def _all_of(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            yield from ast.literal_eval(node.value)

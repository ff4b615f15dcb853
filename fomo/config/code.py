"""What the code of others is, as a hash: a result rests on it as on its data."""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fomo.config.plugins import OF_RUNS, installed
from fomo.config.scripts import SCRIPT, script_parts
from fomo.config.targets import OWN_PACKAGES
from fomo.errors import FomoError
from fomo.system.digest import json_digest

INSTALLED = ("site-packages", "dist-packages")


def code_hashes(values: Mapping[str, Any]) -> dict[str, str]:
    """The hash of every part of a configuration that is not ours, by the dotted name of its target.

    Parts are those that a ``_target_`` names, and plug-ins that are named as a dataset, an ordering or a merge.
    """
    strings = {text.removeprefix("reverse_") for text in _strings(values)}
    targets = {target for node in _nodes(values) for target in [str(node.get("_target_", ""))] if target}
    targets |= {plugin.target for plugin in installed() if plugin.kind in OF_RUNS and plugin.name in strings}
    return {target: code_sha256(target) for target in sorted(targets) if target.split(".")[0] not in OWN_PACKAGES}


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _nodes(inner)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    for each in inner:
        yield from _strings(each)


def code_sha256(target: str) -> str:
    """SHA-256 of the module that holds ``target``, of a guest's modules that it imports, and of its version.

    A guest's is what is neither ours, nor Python's, nor installed, wherever it lies; of an installed package, the
    package itself is. What is imported by a name that is made up as the code runs is not seen.

    Raises:
        FomoError: no file of it can be read, so that a change could not be told.
    """
    top, _, inner = target.partition(".")
    if top == SCRIPT:
        return _script_sha256(inner)
    names = [target.rsplit(".", number)[0] for number in range(target.count("."), 0, -1)]
    sources: dict[str, bytes] = {}
    while names:
        name = names.pop()
        spec = None if name in sources else _spec(name)
        if spec is None or not (_is_a_guests(spec) or (name.split(".")[0] == top and _is_source(spec))):
            continue
        sources[name] = Path(str(spec.origin)).read_bytes()
        names += _imported(sources[name], spec.name if spec.submodule_search_locations else spec.parent or "")
        names += [name.rpartition(".")[0]]  # importing a module runs the packages above it
    if not sources:
        raise FomoError(f"{target}: its code is in no file that can be read, so that a change of it would go unseen.")
    digest = hashlib.sha256("".join(version(each) for each in _distributions().get(top, [])).encode())
    for name, source in sorted(sources.items()):
        digest.update(f"\0{name}\0".encode() + source)
    return digest.hexdigest()


def _script_sha256(name: str) -> str:
    """The same of a script or notebook: what it names there, and the modules beside it that these come from."""
    parts, modules = script_parts(name)
    beside = {module for module in modules if (spec := _spec(module)) and _is_a_guests(spec)}
    return json_digest([parts, {module: code_sha256(f"{module}.") for module in sorted(beside)}])


def _is_source(spec: ModuleSpec) -> bool:
    return str(spec.origin).endswith(".py")


def _is_a_guests(spec: ModuleSpec) -> bool:
    """Whether a module is a file of somebody's own: not ours, not Python's, not installed."""
    known = spec.name.split(".")[0] in (*OWN_PACKAGES, *sys.stdlib_module_names)
    return not known and _is_source(spec) and not set(INSTALLED) & set(Path(str(spec.origin)).resolve().parts)


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    """The installed distributions of every top-level package; looking takes a fifth of a second."""
    return packages_distributions()


def _spec(name: str) -> ModuleSpec | None:
    """Where a module lies, found without running it or a package above it; None of what is no module of a file."""
    parts = name.split(".")
    try:
        spec = find_spec(parts[0])
    except ValueError:  # of no name, or of a module that was made by hand
        return None
    for number in range(2, len(parts) + 1):
        inside = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(".".join(parts[:number]), inside) if inside else None
    return spec


def _imported(source: bytes, package: str) -> list[str]:
    """What a module imports, relative names resolved; an imported name may be a module too."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found

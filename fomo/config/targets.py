"""What a configuration may name by ``_target_``: only what is of packages that are allowed, only with known keys.

Of our own packages exactly what the options of a group name is allowed (much else there could do harm: it writes files,
or fetches them), and exactly what installed entry points name; of the packages in ``runtime.allow_targets`` everything
that is theirs.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, get_args

from hydra.utils import get_object

from fomo.config import plugins
from fomo.config.compose import OPEN_CLIP, config_dir
from fomo.errors import FomoError, check_choice, unknown
from fomo.system.text import first_line

OWN_PACKAGES = ("fomo", "methods", "streams")
TARGET = re.compile(r"^\s*_target_:\s*(\S+)", re.MULTILINE)
KINDS = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def bound(
    section: str, node: Mapping[str, Any], allow: tuple[str, ...], optional: Mapping[str, Any], given: Mapping[str, Any]
) -> "partial[Any]":
    """The target of ``node`` with all its arguments, to be called. What a key holds is data.

    Args:
        section: The group, for messages.
        node: A configured part: ``_target_`` and its keys.
        allow: Packages that the user trusts besides ours and installed plug-ins.
        optional: Arguments that the program adds where the target takes them.
        given: Arguments that the program adds.

    Raises:
        FomoError: a target outside of the allowed packages or not found, a key that it does not take, a key it lacks,
            a value that it cannot use.
    """
    target = _target(section, node, allow)
    keys = {key: value for key, value in node.items() if key not in ("_target_", "_partial_")}
    try:
        taken = inspect.signature(target).parameters
    except ValueError as error:  # of a few built-in types
        raise FomoError(f"{section}._target_ = {node['_target_']}: {error}.") from None
    added = {**given, **{name: value for name, value in optional.items() if name in taken}}
    check_arguments(section, target, keys, added, bool(node.get("_partial_")))
    return partial(target, **keys, **added)


def blamed(section: str, node: Mapping[str, Any], target: Any, error: Exception) -> Exception:
    """The error to raise for one that a target's code raised: with its place where it is a guest's or a setting's."""
    if target.__module__.split(".")[0] in OWN_PACKAGES and not isinstance(error, (TypeError, ValueError)):
        return error  # a fault of ours
    return FomoError(f"{section}._target_ = {node['_target_']}: {plugins.described(error, target)}")


def _cause(error: Exception) -> str:
    """What Hydra says of the cause, which stands in its second line."""
    return first_line(str(error).partition(":\n")[2] or error)


def _target(section: str, node: Mapping[str, Any], allow: tuple[str, ...]) -> Callable[..., Any]:
    name = node.get("_target_")
    if not isinstance(name, str):
        raise FomoError(f"{section} has no _target_: choose an option of the group, as in {section}=NAME.")
    _check_name(section, name, allow)
    try:
        found = get_object(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise FomoError(f"{section}._target_ = {name}: not found ({_cause(error)}).") from None
    if not callable(found):
        raise FomoError(f"{section}._target_ = {name}: not a class or function.")
    # `guest.shutil.rmtree` is not the guest's
    _check_package(section, name, str(getattr(found, "__module__", None)).split(".")[0], allow)
    return found


@cache
def own_targets(section: str) -> frozenset[str]:
    """What the options of a group name."""
    group = section.split(".")[0]  # of several parts, each is a section below its group
    texts = (file.read_text(encoding="utf-8") for file in (config_dir() / group).glob("*.yaml"))
    named = {target for text in texts for target in TARGET.findall(text)}
    return frozenset(named | ({OPEN_CLIP} if group == "model" else set()))


def _check_package(section: str, name: str, package: str, allow: tuple[str, ...]) -> None:
    if package not in (*OWN_PACKAGES, *allow) and not plugins.trusted(name):
        way_out = f"To trust it: runtime.allow_targets=[{package}]."
        raise unknown(f"package in {section}._target_ = {name}: package", package, (*OWN_PACKAGES, *allow), way_out)


def _check_name(section: str, name: str, allow: tuple[str, ...]) -> None:
    """Refuse what ``name`` names before anything is imported: importing runs code."""
    package = name.split(".")[0]
    _check_package(section, name, package, allow)
    if not (package in allow or plugins.trusted(name) or name in own_targets(section)):
        way_out = f"To build something else of ours: runtime.allow_targets=[{package}]."
        raise unknown(f"target in {section}._target_ = {name}: target", name, own_targets(section), way_out)


def check_arguments(
    section: str, target: Callable[..., Any], keys: Mapping[str, Any], given: Collection[str], lazy: bool = False
) -> None:
    """Refuse settings that a function or class does not take, or cannot use, and one that it lacks.

    Args:
        section: Where the settings stand, for messages.
        target: What takes them as arguments.
        keys: The settings.
        given: Names of the arguments that the program gives.
        lazy: Whether what is lacking may come later.

    Raises:
        FomoError: the key is named, and the nearest one.
    """
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = [name for name in parameters if name not in given]
    for name in keys:
        check_choice(f"key of {section}", name, allowed, f"~{section}.{name} leaves it out.")
    for name, value in keys.items():
        _check_kind(f"{section}.{name}", value, parameters[name].annotation)
    for name, parameter in parameters.items():
        missing = parameter.default is parameter.empty and name not in keys and name not in given
        if missing and not lazy:
            raise FomoError(f"{section}.{name} is missing.")


def _check_kind(key: str, value: Any, annotation: Any) -> None:
    """Refuse a value of another kind than a plainly annotated parameter takes, or null; integers are numbers."""
    some = [each for each in get_args(annotation) if each is not NoneType]
    if isinstance(annotation, UnionType) and len(some) == 1 and NoneType in get_args(annotation):
        annotation = NoneType if value is None else some[0]
    accepted = (int, float) if annotation is float else annotation
    is_truth = isinstance(value, bool) and annotation is not bool
    if annotation in KINDS and (is_truth or not isinstance(value, accepted)):
        raise FomoError(f"{key}={value}: {KINDS[annotation]} is expected.")

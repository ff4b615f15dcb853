"""Builds the parts that a config names by ``_target_``: only from packages that are allowed, only with known keys."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hydra.utils import get_object, instantiate

from fomo.errors import FomoError, check_keys, unknown

OWN_PACKAGES = ("fomo", "methods", "streams")


def build(section: str, node: Mapping[str, Any], allow: tuple[str, ...] = (), **given: Any) -> Any:
    """The object that ``node`` describes; ``given`` are arguments that the program adds.

    Raises:
        FomoError: a target outside of the allowed packages or not found, a key that it does not take, a key it lacks.
    """
    target = _target(section, node, allow)
    keys = {key: value for key, value in node.items() if not key.startswith("_")}
    _check_arguments(section, target, keys, given, partial=bool(node.get("_partial_")))
    return instantiate(dict(node), _convert_="all", **given)


def _target(section: str, node: Mapping[str, Any], allow: tuple[str, ...]) -> Callable[..., Any]:
    name = node.get("_target_")
    if not isinstance(name, str):
        raise FomoError(f"{section} has no _target_: choose an option of the group, as in {section}=NAME.")
    package = name.split(".")[0]
    if package not in (*OWN_PACKAGES, *allow):
        way_out = f"To trust it: runtime.allow_targets=[{package}]."
        raise unknown(f"package in {section}._target_ = {name}: package", package, (*OWN_PACKAGES, *allow), way_out)
    try:
        return get_object(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise FomoError(f"{section}._target_ = {name}: not found ({str(error).splitlines()[0]}).") from None


def _check_arguments(
    section: str, target: Callable[..., Any], keys: Mapping[str, Any], given: Mapping[str, Any], partial: bool
) -> None:
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    check_keys(section, keys, [name for name in parameters if name not in given])
    for name, parameter in parameters.items():
        missing = parameter.default is parameter.empty and name not in keys and name not in given
        if missing and not partial:
            raise FomoError(f"{section}.{name} is missing.")

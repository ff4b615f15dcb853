"""Several parts of one group in a run: ``regularizer=[ewc,l2]``, each under its own name with its own settings.

The section then holds a part by name, ``regularizer.ewc`` and ``regularizer.l2``, and in ``_order_`` whose hooks come
first. One more is added as ``+regularizer.NAME._target_=MODULE.CLASS``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override

from fomo.errors import FomoError

GROUPS = ("regularizer", "diagnostics", "log")
"""The groups of which a run may have several parts, each of which leaves the others as they are."""
ORDER = "_order_"
NAME = re.compile(r"[\w-]+")


def names_in(override: Override) -> list[str] | None:
    """The options that an override lists, as in ``regularizer=[ewc,l2]``; ``None`` where it lists none.

    Raises:
        FomoError: the group takes one part, or the list is empty, names a part twice or the option ``none``.
    """
    value = None if override.is_sweep_override() else override.value()
    if override.key_or_group not in GROUPS or not isinstance(value, list):
        return None
    names = list(map(str, value))
    if not names or len(set(names)) < len(names) or "none" in names:
        raise FomoError(
            f"'{override.input_line}': list one part at least, each once, and not none. To have a part twice: "
            f"+{override.key_or_group}.NAME._target_=…, under another NAME."
        )
    return names


def registered(override: Override) -> str:
    """The override for Hydra: one that lists parts chooses an option that is made of them."""
    names = names_in(override)
    line = str(override.input_line)
    if names is None:
        return line
    option = f"several_{'_'.join(names)}"
    node = {"defaults": [f"{name}@{name}" for name in names], ORDER: names}
    ConfigStore.instance().store(group=override.key_or_group, name=option, node=node)
    return f"{override.key_or_group}={option}"


def ordered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values whose sections of several parts name all of them in ``_order_``; added ones come last."""
    made = dict(values)
    for group in GROUPS:
        node = values.get(group)
        if isinstance(node, Mapping) and ORDER in node:
            order = node[ORDER] if isinstance(node[ORDER], list) else []
            made[group] = {**node, ORDER: order + [name for name in node if name not in (*order, ORDER)]}
    return made


def parts_of(group: str, node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a section describes, by the name that a run knows the part under: ``regularizer``, or ``regularizer.ewc``.

    Raises:
        FomoError: the section of several parts holds something else.
    """
    if group not in GROUPS or ORDER not in node:
        return {group: node}
    order = node[ORDER]
    names = [name for name in node if name != ORDER]
    for name in names:
        if not isinstance(node[name], Mapping):
            raise FomoError(f"{group}.{name}={node[name]}: of several parts each has its own: {group}.PART.{name}=….")
        if not NAME.fullmatch(str(name)):
            raise FomoError(f"{group}: '{name}' names no part: letters, digits, _ and - do.")
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(map(str, names)):
        raise FomoError(f"{group}.{ORDER}={order}: name each of {', '.join(map(str, names))} once.")
    return {f"{group}.{name}": node[name] for name in order}


def with_one_more(parts: Mapping[str, Any], group: str, name: str, part: Any) -> dict[str, Any]:
    """The parts of a run with a ``part`` in place of its group's one, or under ``name`` after its group's several."""
    several: Sequence[str] = [each for each in parts if each.startswith(f"{group}.")]
    made = dict[str, Any]()
    for each, other in parts.items():
        made[each] = part if each == group else other
        if several and each == several[-1]:
            made[f"{group}.{name}"] = part
    return made

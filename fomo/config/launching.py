"""``launcher=NAME launcher.KEY=VALUE``: how the runs of a sweep are started, read apart from what a run is."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from fomo.config.compose import apart_of, config_dir, parse
from fomo.config.overrides import refuse_several
from fomo.errors import FomoError, check_choice
from fomo.system.reading import read_yaml

GROUP = "launcher"
DEFAULT = "serial"
NAMES = {GROUP: "a launcher", "tuner": "an engine"}
EXAMPLES = {GROUP: "launcher=processes", "tuner": "tuner=tpe"}


def split(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The launcher of a sweep, as a configured part, and the overrides of its runs.

    Raises:
        FomoError: an unknown launcher, a setting that it does not have, several values of one.
    """
    parsed = parse(overrides)
    ours = [each for each in parsed if apart_of(each) == GROUP]
    refuse_several(ours)
    return node_of(GROUP, ours, DEFAULT), [str(each.input_line) for each in parsed if apart_of(each) != GROUP]


def node_of(group: str, ours: Sequence[Override], default: str) -> dict[str, Any]:
    """The part that overrides of a group choose and set, which is no part of a run; ``default``: where none chooses."""
    chosen = [str(each.value()) for each in ours if each.key_or_group == group]
    name = chosen[-1] if chosen else default
    node: dict[str, Any] = read_yaml(config_dir() / group / f"{name}.yaml")
    return settings_of(group, name, node, ours, bool(chosen))


def settings_of(
    group: str, name: str, node: Mapping[str, Any], ours: Sequence[Override], chosen: bool
) -> dict[str, Any]:
    """An option with the settings that are given for it.

    Args:
        group: Its group.
        name: Its name.
        node: ``_target_`` and its settings.
        ours: The overrides of the group.
        chosen: Whether the option was named.
    """
    made = dict(node)
    keys = [key for key in node if key != "_target_"]
    for each in ours:
        key = each.key_or_group.removeprefix(f"{group}.")
        if each.key_or_group == group:
            continue
        if each.is_delete():
            raise FomoError(f"'{each.input_line}': {NAMES[group]} has all its settings. Write {group}.{key}=VALUE.")
        check_choice(f"setting of {group}={name}:", key, keys, "" if chosen else f"Choose one: {EXAMPLES[group]}.")
        made[key] = each.value()
    return made

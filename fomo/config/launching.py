"""``launcher=NAME launcher.KEY=VALUE``: how the runs of a sweep are started, read apart from what a run is."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from fomo.config.compose import config_dir, is_launcher, parse
from fomo.config.overrides import refuse_several
from fomo.errors import FomoError, check_choice
from fomo.system.reading import read_yaml

GROUP = "launcher"
DEFAULT = "serial"


def split(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The launcher of a sweep, as a configured part, and the overrides of its runs.

    Raises:
        FomoError: an unknown launcher, a setting that it does not have, several values of one.
    """
    parsed = parse(overrides)
    ours = [each for each in parsed if is_launcher(each)]
    refuse_several(ours)
    return _node(ours), [str(each.input_line) for each in parsed if not is_launcher(each)]


def _node(ours: Sequence[Override]) -> dict[str, Any]:
    chosen = [str(each.value()) for each in ours if each.key_or_group == GROUP]
    name = chosen[-1] if chosen else DEFAULT
    node: dict[str, Any] = read_yaml(config_dir() / GROUP / f"{name}.yaml")
    keys = [key for key in node if key != "_target_"]
    for each in ours:
        key = each.key_or_group.removeprefix(f"{GROUP}.")
        if each.key_or_group == GROUP:
            continue
        if each.is_delete():
            raise FomoError(f"'{each.input_line}': a launcher has all its settings. Write {GROUP}.{key}=VALUE.")
        check_choice(f"setting of {GROUP}={name}:", key, keys, "" if chosen else f"Choose one: {GROUP}=processes.")
        node[key] = each.value()
    return node

"""``KEY=interval(…)``, ``tuner=`` and ``space=``: what ``fomo tune`` searches, read apart from what a run is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from fomo.config import plugins
from fomo.config.compose import UNLABELLED, apart_of, config_dir, groups, parse
from fomo.config.launching import node_of, settings_of
from fomo.config.overrides import read, refuse_several, values_of
from fomo.config.space import Choice, Interval, Space
from fomo.errors import FomoError, check_allowed
from fomo.system.reading import read_yaml

TUNER = "tuner"
SPACE = "space"
COMMON = (*UNLABELLED, "budget", "experiment", "score_version")
"""Keys that trials have in common: what differs in them cannot be compared, or changes no result."""
OTHERS = "others"
VALIDATION = "evaluation=validation"


@dataclass(frozen=True)
class Search:
    """What was typed for ``fomo tune``.

    Args:
        tuner: The engine, as a configured part.
        space: What is searched: a range, or the values of a list as they are typed.
        seeds: The seeds that GM is averaged over.
        overrides: What all runs share, the split among them.
    """

    tuner: Mapping[str, Any]
    space: Space
    seeds: tuple[str, ...]
    overrides: tuple[str, ...]


def search(overrides: Sequence[str]) -> Search:
    """The search that overrides describe: values that are ranges or lists are searched, all else is the same in trials.

    Raises:
        FomoError: there is nothing to search, a range makes no sense, or a key is not to be searched.
    """
    parsed = [read(each, groups()) for each in overrides]
    ours = [each for each in parsed if apart_of(each) in (TUNER, SPACE)]
    of_runs = [each for each in parsed if apart_of(each) is None]
    refuse_several(ours)
    parse(_lines(ours))
    searched = [each for each in of_runs if each.is_sweep_override() and each.key_or_group != "seed"]
    fixed = [each for each in of_runs if each not in searched and each.key_or_group != "seed"]
    parse(_lines([each for each in of_runs if not isinstance(each.value(), IntervalSweep)]))
    given = {each.get_key_element(): each for each in searched}
    listed = _listed([each for each in ours if apart_of(each) == SPACE], fixed, {each.key_or_group for each in of_runs})
    space = {key: _values(each) for key, each in {**listed, **given}.items()}
    check_searched(space, fixed)
    seeds = [each for each in of_runs if each.key_or_group == "seed"]
    return Search(
        _tuner([each for each in ours if apart_of(each) == TUNER]),
        space,
        _seeds(seeds[-1]) if seeds else ("0",),
        (*_lines(fixed), *(() if _chosen(fixed, "evaluation") else (VALIDATION,))),
    )


def _lines(some: Sequence[Override]) -> list[str]:
    return [str(each.input_line) for each in some]


def _seeds(override: Override) -> tuple[str, ...]:
    seeds = tuple(values_of(override)) if override.is_sweep_override() else (str(override.value()),)
    check_allowed(len(set(seeds)) == len(seeds), str(override.input_line), "seeds that are different")
    check_allowed(all(each.isdigit() for each in seeds), str(override.input_line), "integers from 0, as in seed=0,1,2")
    return seeds


def _chosen(fixed: Sequence[Override], group: str) -> str | None:
    chosen = [str(each.value()) for each in fixed if each.key_or_group == group]
    return chosen[-1] if chosen else None


def _tuner(ours: Sequence[Override]) -> dict[str, Any]:
    """The engine: an option of the group, or a plug-in with its settings."""
    name = _chosen(ours, TUNER) or "gp"
    plugin = plugins.named("tuners").get(name)
    if plugin is None:
        return node_of(TUNER, ours, "gp")
    defaults = {key: value for key, value in plugins.defaults_of(plugin.load()).items() if key != SPACE}
    return settings_of(TUNER, name, {"_target_": plugin.target, **defaults}, ours, chosen=True)


def _listed(ours: Sequence[Override], fixed: Sequence[Override], given: set[str]) -> dict[str, Override]:
    """What the option of the group ``space`` has for the method, without the keys of parts that were chosen anew.

    ``~space.KEY`` leaves one out.
    """
    name = _chosen([each for each in ours if not each.is_delete()], SPACE) or "methods"
    node = read_yaml(config_dir() / SPACE / f"{name}.yaml")
    spaces = {method: of for methods, of in node.items() for method in methods.split(",")}
    method = _chosen(fixed, "method") or "finetune"
    found = spaces.get(method, {} if method == "frozen" else spaces.get(OTHERS, {}))
    kept = {key: values for key, values in found.items() if key.split(".")[0] not in given}
    for each in ours:
        key = each.key_or_group.removeprefix(f"{SPACE}.")
        if each.key_or_group == SPACE:
            continue
        if not each.is_delete() or key not in kept:
            way_out = (
                f"A range of your own is {key}=VALUES; '~{SPACE}.KEY' leaves out one of {', '.join(kept) or 'none'}."
            )
            raise FomoError(f"'{each.input_line}': {SPACE}={name} has no such setting for {method}. {way_out}")
        del kept[key]
    return {key: read(f"{key}={values}", {}) for key, values in kept.items()}


def _values(override: Override) -> Interval | Choice:
    """What a key is searched over."""
    line = str(override.input_line)
    value = override.value()
    if not isinstance(value, IntervalSweep):
        return Choice(_list(override))
    if unknown := {*value.tags} - {"log"}:
        raise FomoError(f"'{line}': the tag '{min(unknown)}' has no meaning here; tag(log,…) is known.")
    low = float(value.start)  # type: ignore[arg-type]
    high = float(value.end)  # type: ignore[arg-type]
    finite = math.isfinite(low) and math.isfinite(high)
    check_allowed(finite and low < high, f"'{line}'", "ranges from a number to a greater one: interval(LOW,HIGH)")
    check_allowed(low > 0 or "log" not in value.tags, f"'{line}'", "bounds above 0 where steps are factors: tag(log,…)")
    return Interval(low, high, "log" in value.tags, isinstance(value.start, int))


def _list(override: Override) -> tuple[str, ...]:
    values = tuple(values_of(override))
    line = str(override.input_line)
    twice = next((each for each in values if values.count(each) > 1), None)
    check_allowed(twice is None, f"'{line}'", f"values that differ ('{twice}' stands twice)")
    if len(values) < 2:
        raise FomoError(f"'{line}' has one value: give two at least, or {override.get_key_element()}={values[0]}.")
    if isinstance(override.value(), RangeSweep):
        check_allowed(len(values) <= 100, f"'{line}'", "100 values at most; int(interval(LOW,HIGH)) has more")
    return values


def check_searched(space: Mapping[str, Any], fixed: Sequence[Override]) -> None:
    """Refuse a space of nothing, of what trials have in common or is fixed as well; and scores of test images.

    Raises:
        FomoError: what it is, and what to type instead.
    """
    for key in space:
        if key.lstrip("+").split(".")[0] in COMMON:
            raise FomoError(f"'{key}' cannot be searched: trials that differ in it cannot be compared.")
        twice = next((each for each in fixed if each.key_or_group == key.lstrip("+")), None)
        if twice is not None:
            way_out = f"Leave it out to have {key} searched, or add '~{SPACE}.{key}' to have it fixed."
            raise FomoError(f"'{twice.input_line}' is fixed, and the space has {key} too. {way_out}")
    if not space:
        raise FomoError(
            "there is nothing to search: give ranges or lists, as in 'optimizer.lr=tag(log,interval(1e-5,1e-2))', "
            "'merging.weight=interval(0,1)', merging.technique=ties,dare."
        )
    for each in fixed:
        split = each.value() if each.key_or_group in ("evaluation", "evaluation.split") else "validation"
        if split != "validation":
            raise FomoError(f"'{each.input_line}': settings are chosen on the validation split. Leave it out.")

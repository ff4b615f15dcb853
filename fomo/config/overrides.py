"""``KEY=VALUE`` as Hydra reads it, and the runs of a sweep: what stands for one value, for several, for none."""

import hashlib
import itertools
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, ValueType
from hydra.errors import HydraException

from fomo.errors import FomoError

HOME = re.compile(r"((?:=|,|\[)(?:local-dir:)?)~(?=/|$)")
"""A value, or one of several, that starts with the home folder."""
COLON = re.compile(r"(_target_=[\w.]+):(?=[\w.]+$)")
"""A target as an entry point writes it."""
MOST = 10_000
"""Values that one override may list, and runs of a sweep: each is composed before the first one starts."""


def written(override: str) -> str:
    """The override in the one spelling that is recorded.

    ``~`` at the start of a value, which Hydra cannot read, is the home folder; the colon of ``MODULE:CLASS`` is a dot.
    """
    quoted = "'" in override or '"' in override
    home = override if quoted else HOME.sub(lambda found: f"{found.group(1)}{Path.home()}", override)
    return COLON.sub(r"\1.", home)


def read(override: str, groups: Mapping[str, Sequence[str]]) -> Override:
    """Hydra's reading of an override; ``glob()`` becomes the list of the options that it fits.

    Raises:
        FomoError: it cannot be read, or asks for something that has no effect here.
    """
    try:
        parsed = OverridesParser.create().parse_override(written(override))
    except HydraException as error:
        reason = str(error).splitlines()[0].split(" expecting ")[0]
        raise FomoError(f"cannot read the override '{override}': {reason}. {_way_out(override, reason)}") from None
    if not parsed.key_or_group:
        raise FomoError(f"cannot read the override '{override}': there is no key. Write KEY=VALUE.")
    _refuse_foreign(parsed, groups)
    if isinstance(parsed.value(), Glob):
        listed = _fitting(parsed, groups.get(parsed.key_or_group, ()))
        return read(f"{parsed.get_key_element()}={','.join(listed)}", groups)
    return parsed


def _way_out(override: str, reason: str) -> str:
    key, _, value = override.partition("=")
    if re.search(r"\s[\w.@/~+]+=", value):
        return f"Write arguments one by one: {override}, without quotes around them."
    tries = (f"{key.strip()}={value.strip()}", f"{key.strip()}={_quoted(value)}")
    for each in () if "while evaluating" in reason else tries:
        try:
            OverridesParser.create().parse_override(each)
        except HydraException:
            continue
        return f"Write {shlex.quote(each)}." if value else "Write KEY=VALUE."
    return "Write KEY=VALUE; quote what holds special characters: 'KEY=\"größe\"'."


def _quoted(value: str) -> str:
    """A value in quotes, or a list of values in quotes each."""
    entries = value.strip().removeprefix("[").removesuffix("]")
    is_list = value.strip() == f"[{entries}]"
    return f"[{','.join(map(_quoted, entries.split(',')))}]" if is_list else f'"{value.strip()}"'


def _refuse_foreign(parsed: Override, groups: Collection[str]) -> None:
    """What Hydra's grammar has, and a run does not: settings of Hydra, packages, groups that are added or left out."""
    key = parsed.key_or_group
    line = str(parsed.input_line)
    if re.split(r"[./@]", key)[0] == "hydra":
        raise FomoError(f"'{line}': settings of Hydra have no effect. run.dir=DIR says where a run lies, -m sweeps.")
    if parsed.package is not None:
        raise FomoError(f"'{line}': an option belongs to its own group. Write {key}=NAME, without '@'.")
    if key in groups and (parsed.is_delete() or parsed.is_add() or parsed.is_force_add()):
        raise FomoError(f"'{line}': every run has one option of {key}. Write {key}=NAME, without '{line[0]}'.")


def _fitting(parsed: Override, options: Sequence[str]) -> list[str]:
    glob = parsed.value()
    assert isinstance(glob, Glob)
    if not options:
        raise FomoError(
            f"'{parsed.input_line}': glob() stands for options of a group, and {parsed.key_or_group} is none."
        )
    found = glob.filter(list(options))
    if not found:
        raise FomoError(f"'{parsed.input_line}' fits no option of {parsed.key_or_group}: {', '.join(options)}.")
    return found


def refuse_several(parsed: Iterable[Override]) -> None:
    """Refuse what only a sweep can take."""
    for override in parsed:
        if override.is_sweep_override():
            values_of(override)
            raise FomoError(
                f"'{override.input_line}' lists several values: add -m to run each, or write one list: [A,B]."
            )


def values_of(override: Override) -> list[str]:
    """The values that a sweep takes one after the other, as texts.

    Raises:
        FomoError: they cannot be listed, there are none, or too many.
    """
    line = override.input_line
    if override.value_type == ValueType.INTERVAL_SWEEP:
        raise FomoError(f"'{line}': interval() has no values to list. Write them: {override.key_or_group}=A,B.")
    try:
        found = list(itertools.islice(override.sweep_string_iterator(), MOST + 1))
    except (HydraException, ValueError) as error:
        raise FomoError(f"'{line}': {str(error).splitlines()[0]}.") from None
    if not 0 < len(found) <= MOST:
        count = f"more than {MOST:,} values" if found else "no value"
        raise FomoError(f"'{line}' stands for {count}.")
    return found


def jobs(parsed: Sequence[Override]) -> list[list[str]]:
    """Every combination of the listed values, as overrides; of two overrides of one key the later one counts.

    Raises:
        FomoError: there are too many, or values that cannot be listed.
    """
    choices: dict[str, list[str]] = {}
    for each in parsed:
        key = each.get_key_element()
        choices[key] = [f"{key}={v}" for v in values_of(each)] if each.is_sweep_override() else [str(each.input_line)]
    found = list(itertools.islice(itertools.product(*choices.values()), MOST + 1))
    if len(found) > MOST:
        raise FomoError(f"the sweep has more than {MOST:,} runs: list fewer values.")
    return [list(job) for job in found]


def names_of(jobs: Sequence[Sequence[str]], swept: set[str]) -> list[str]:
    """A folder name for each job; a hash tells apart what would read the same, and stands for what is too long."""
    changes = [",".join(each for each in job if each.split("=", 1)[0] in swept) for job in jobs]
    names = [re.sub(r"[^\w=.,+-]", "_", change) or "run" for change in changes]
    hashes = [hashlib.sha256(change.encode()).hexdigest()[:8] for change in changes]
    return [
        name if names.count(name) == 1 and len(name) <= 120 else f"{name[:120]}-{hashed}"
        for name, hashed in zip(names, hashes, strict=True)
    ]

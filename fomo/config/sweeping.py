"""The runs of a sweep, and of a study: a sweep that a file of ``conf/experiment/study/`` describes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fomo.config.compose import config_dir, is_study, options_in, parse
from fomo.config.overrides import MOST, jobs, names_of, refuse_several
from fomo.errors import FomoError, check_allowed
from fomo.results.layout import SETTINGS
from fomo.system.checks import is_strings
from fomo.system.reading import read_yaml

PLACE = "run.dir"
TUNED = "run.tuned"
"""Names the study that has chosen the settings."""


@dataclass(frozen=True)
class Study:
    """What a study sweeps over.

    ``params`` are lists of values by key, every combination of which is run. ``cases`` are overrides that belong
    together, in words with blanks between them: every combination is run with each of them. ``settings`` are, for each
    method that has some, further overrides: a run for each element, in words as well.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cases: Sequence[str] = ("",)

    @classmethod
    def read(cls, name: str) -> "Study":
        """The study ``study/NAME``.

        In its file methods of the same settings share a key, with commas between them; ``settings: study/OTHER`` are
        those of another study.
        """
        node = read_yaml(config_dir() / "experiment" / f"{name}.yaml")
        settings = node.get("settings", {})
        shared = cls.read(settings).settings if isinstance(settings, str) else _by_method(settings)
        return cls(node["params"], shared, node.get("cases", ("",)))

    def of_method(self, method: str) -> list[list[str]]:
        """The further overrides of each run of a method; of one without settings there is one run, with none."""
        return [each.split() for each in self.settings.get(method, [""])]


def _by_method(settings: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {method: each for key, each in settings.items() for method in key.split(",")}


def read_settings(place: Path) -> dict[str, Sequence[str]]:
    """The settings of each method below ``settings`` in a file, or in the files of all tuning studies in a folder.

    Raises:
        FomoError: there is no such file, or two have one method.
    """
    files = sorted(place.glob(f"**/{SETTINGS}")) if place.is_dir() else [place]
    found: dict[str, Sequence[str]] = {}
    for file in files:
        node = read_yaml(file)
        settings = node.get("settings") if isinstance(node, dict) else None
        if not isinstance(settings, dict) or not all(map(is_strings, settings.values())):
            raise FomoError(
                f"{file}: no settings of methods. They stand as in 'settings: {{lora: [optimizer.lr=3e-3]}}'."
            )
        for method, each in _by_method(settings).items():
            if method in found:
                raise FomoError(f"{file}: {method} has settings in another file of {place} too: give one of them.")
            found[method] = each
    if not found:
        raise FomoError(f"{place}: it holds no {SETTINGS}. `fomo tune` writes one into the folder of its study.")
    return found


def study(overrides: Sequence[str]) -> str:
    """The chosen experiment, if it is a study: a sweep by itself, with a table and a figure at its end; else empty."""
    return next((name for each in parse(overrides) if is_study(each) for name in options_in(each)), "")


def sweep(overrides: Sequence[str], settings: Path | None = None) -> list[list[str]]:
    """The jobs of a sweep: every combination of the listed values, as overrides; a study lists values of its own.

    What is given stands before what the study has for the same key, and so do a method's settings in the file
    ``settings``. No job names the study: it is one run, whoever starts it. ``run.dir=DIR`` puts each job into a folder
    of its own below ``DIR``, named by what is swept.

    Raises:
        FomoError: values that cannot be listed, too many runs, a folder for all of them.
    """
    name = study(overrides)
    listed = Study.read(name) if name else Study()
    if settings:
        listed = replace(listed, settings={**listed.settings, **read_settings(settings)})
    parsed = [each for each in parse(overrides) if not is_study(each)]
    given = {each.key_or_group for each in parsed}
    parsed = parse([f"{key}={values}" for key, values in listed.params.items() if key not in given]) + parsed
    refuse_several([each for each in parsed if each.key_or_group == PLACE])
    found = [one for job in jobs(parsed) for one in _of_study(job, listed, given)]
    check_allowed(len(found) <= MOST, f"a sweep of {len(found):,} runs", f"at most {MOST:,}")
    swept = {each.get_key_element() for each in parsed if each.is_sweep_override()}
    added = {_key(each) for job in found for each in job} - given - {TUNED}
    return in_folders(found, swept | added)


def _of_study(job: Sequence[str], listed: Study, given: set[str]) -> list[tuple[str, ...]]:
    """A job once for each case and setting; those that differ in what is given alone are one."""
    cases = dict.fromkeys(_with_cases(job, listed, given))
    return list(dict.fromkeys(one for case in cases for one in _with_settings(case, listed, given)))


def _with_cases(job: Sequence[str], listed: Study, given: set[str]) -> Iterator[tuple[str, ...]]:
    """A job of a study once for each of its cases, without what is given."""
    for case in listed.cases:
        yield (*job, *(each for each in case.split() if given.isdisjoint((_key(each), _key(each).split(".")[0]))))


def _with_settings(job: Sequence[str], listed: Study, given: set[str]) -> Iterator[tuple[str, ...]]:
    """A job of a study once for each setting that its method has there, without what is given or of its case.

    With another part than the method's, as in ``optimizer=lamb``, the settings of the method's own have no meaning. Of
    chosen settings that are not all taken the study that chose them is not named.
    """
    methods = [each.split("=", 1)[1] for each in job if _key(each) == "method"]
    given = given | {_key(word) for case in listed.cases for word in case.split() if word in job}
    for added in listed.of_method(methods[-1] if methods else "finetune"):
        kept = [each for each in added if given.isdisjoint((_key(each), _key(each).split(".")[0]))]
        whole = len(kept) == len(added)
        yield (*job, *(each for each in kept if whole or _key(each) != TUNED))


def _key(override: str) -> str:
    return override.split("=", 1)[0]


def in_folders(jobs: Sequence[Sequence[str]], swept: set[str]) -> list[list[str]]:
    """Each job in a folder of its own below what its ``run.dir`` names, called by the values of the keys ``swept``.

    Without ``run.dir``, and with ``null``, they are left as they are.
    """
    places = [each for each in parse(jobs[0]) if each.key_or_group == PLACE]
    if not places:
        return list(map(list, jobs))
    bare = [[each for each in job if _key(each) != PLACE] for job in jobs]
    place = places[-1].value()
    if place is None:
        return bare
    check_allowed(place != "", "run.dir=", "a folder, and null")
    quoted = str(place).replace("'", "\\'")
    return [[*job, f"run.dir='{quoted}/{name}'"] for job, name in zip(bare, names_of(bare, swept), strict=True)]

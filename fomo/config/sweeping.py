"""The runs of a sweep, and of a study: a sweep that a file of ``conf/experiment/study/`` describes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hydra.core.override_parser.types import Override

from fomo.config.compose import config_dir, is_study, options_in, parse
from fomo.config.overrides import MOST, jobs, names_of, refuse_several
from fomo.errors import check_allowed
from fomo.system.reading import read_yaml


@dataclass(frozen=True)
class Study:
    """What a study sweeps over.

    ``params`` are lists of values by key, every combination of which is run; ``settings`` are, for each method that has
    some, further overrides: a run for each element, in words with blanks between them.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str) -> "Study":
        """The study ``study/NAME``.

        In its file methods of the same settings share a key, with commas between them; ``settings: study/OTHER`` are
        those of another study.
        """
        node = read_yaml(config_dir() / "experiment" / f"{name}.yaml")
        settings = node.get("settings", {})
        if isinstance(settings, str):
            return cls(node["params"], cls.read(settings).settings)
        return cls(node["params"], {method: each for key, each in settings.items() for method in key.split(",")})

    def of_method(self, method: str) -> list[list[str]]:
        """The further overrides of each run of a method; of one without settings there is one run, with none."""
        return [each.split() for each in self.settings.get(method, [""])]


def study(overrides: Sequence[str]) -> str:
    """The chosen experiment, if it is a study: a sweep by itself, with a table and a figure at its end; else empty."""
    return next((name for each in parse(overrides) if is_study(each) for name in options_in(each)), "")


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """The jobs of a sweep: every combination of the listed values, as overrides; a study lists values of its own.

    What is given stands before what the study has for the same key. ``run.dir=DIR`` puts each job into a folder of its
    own below ``DIR``, named by what is swept.

    Raises:
        FomoError: values that cannot be listed, too many runs, a folder for all of them.
    """
    name = study(overrides)
    listed = Study.read(name) if name else Study()
    parsed = parse(overrides)
    given = {each.key_or_group for each in parsed}
    parsed = parse([f"{key}={values}" for key, values in listed.params.items() if key not in given]) + parsed
    folders = [each for each in parsed if each.key_or_group == "run.dir"]
    refuse_several(folders)
    combined = jobs([each for each in parsed if each.key_or_group != "run.dir"])
    found = [one for job in combined for one in dict.fromkeys(_with_settings(job, listed, given))]
    check_allowed(len(found) <= MOST, f"a sweep of {len(found):,} runs", f"at most {MOST:,}")
    swept = {each.get_key_element() for each in parsed if each.is_sweep_override()}
    added = {_key(each) for job in found for each in job} - given
    return _in_folders(found, folders[-1], swept | added) if folders else list(map(list, found))


def _with_settings(job: Sequence[str], listed: Study, given: set[str]) -> Iterator[tuple[str, ...]]:
    """A job of a study once for each setting that its method has there, without what is given.

    With another part than the method's, as in ``optimizer=lamb``, the settings of the method's own have no meaning.
    """
    methods = [each.split("=", 1)[1] for each in job if _key(each) == "method"]
    for added in listed.of_method(methods[-1] if methods else ""):
        yield (*job, *(each for each in added if given.isdisjoint((_key(each), _key(each).split(".")[0]))))


def _key(override: str) -> str:
    return override.split("=", 1)[0]


def _in_folders(found: Sequence[Sequence[str]], place: Override, swept: set[str]) -> list[list[str]]:
    """Each job with a folder of its own below the place that ``run.dir`` names; ``null`` names none."""
    if place.value() is None:
        return list(map(list, found))
    check_allowed(place.value() != "", "run.dir=", "a folder, and null")
    quoted = str(place.value()).replace("'", "\\'")
    return [[*job, f"run.dir='{quoted}/{name}'"] for job, name in zip(found, names_of(found, swept), strict=True)]

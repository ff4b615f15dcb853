"""Writes the tables of README.md and docs/methods.md from the rows in ``methods/``, and the interface from its classes.

    python -m docs.tables

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; :data:`TABLES` has what is written there.
"""

import re
from collections.abc import Callable, Iterable
from inspect import cleandoc, formatannotation
from pathlib import Path

import yaml

import fomo
from fomo.config.compose import compose
from fomo.data.card import SPLITS
from fomo.data.samples import Dataset
from fomo.stream.definition import Concept
from methods.diagnostics import DIAGNOSTICS
from methods.lora import ADAPTERS
from methods.merging.techniques import TECHNIQUES
from methods.merging.temporal import DEPLOYS, INITS
from methods.meta_schedules import META_SCHEDULES
from methods.papers import Papers
from methods.presets import PRESETS
from methods.regularizers import REGULARIZERS
from methods.schedules import SCHEDULES, Schedule
from methods.trainable import TRAINED
from streams.desktop.declared import load_sets
from streams.desktop.manifest import load_manifest

TOP = Path(__file__).parents[1]
PAGES = (TOP / "README.md", TOP / "docs" / "methods.md", TOP / "docs" / "extending.md", TOP / "docs" / "desktop.md")
DEFAULTS = TOP / "fomo" / "report" / "defaults.yaml"
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table, one line a row."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def option(name: str) -> str:
    """The cell of a name that is typed."""
    return f"`{name}`"


def words(text: str) -> str:
    """The cell of a string whose only Markdown is backticks."""
    return text.replace("*", r"\*").replace("|", r"\|")


def linked(papers: Papers) -> str:
    """The cell of papers, each a link where it has a number."""
    return ", ".join(f"[{cited}](https://arxiv.org/abs/{arxiv})" if arxiv else cited for cited, arxiv in papers)


def methods() -> str:
    """Every preset of ``method=``."""
    rows = [
        (option(name), words(row.trained), words(row.after_task), linked(row.papers)) for name, row in PRESETS.items()
    ]
    return table(("`method=`", "what is trained", "after each task", "paper"), rows)


def trainables() -> str:
    """Every option of ``trainable=``: kinds of parameters, then adapters, which freeze everything else."""
    rows = [
        (option(name), words(row.trains), "trained" if "temperature" in row.kinds else "frozen", linked(row.papers))
        for name, row in TRAINED.items()
    ]
    rows += [(option(name), words(row.trains), "frozen", linked(row.papers)) for name, row in ADAPTERS.items()]
    return table(("`trainable=`", "trains", "temperature", "paper"), rows)


def regularizers() -> str:
    """Every option of ``regularizer=`` that adds something."""
    rows = [(option(name), words(row.adds), row.settings, linked(row.papers)) for name, row in REGULARIZERS.items()]
    return table(("`regularizer=`", "adds to the loss", "settings", "paper"), rows)


def diagnostics() -> str:
    """Every option of ``diagnostics=`` that measures something."""
    rows = [
        (option(name), words(row.measures), row.settings, words(row.costs), linked(row.papers))
        for name, row in DIAGNOSTICS.items()
    ]
    return table(("`diagnostics=`", "measures", "settings", "costs", "paper"), rows)


def merges() -> str:
    """Every option of ``merging=`` that merges, with the axes that its file sets."""
    rows = []
    for path in sorted((TOP / "conf" / "merging").glob("*.yaml")):
        axes = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "deploy" in axes:
            start = f"{option(axes['init'])}: {words(INITS[axes['init']])}"
            evaluated = f"{option(axes['deploy'])}: {words(DEPLOYS[axes['deploy']])}"
            rows.append((option(path.stem), start, evaluated))
    head = ("`merging=`", "`merging.init`: the next task starts from", "`merging.deploy`: what is evaluated")
    return table(head, rows)


def techniques() -> str:
    """Every value of ``merging.technique=``."""
    rows = [(option(name), words(row.formula), linked(row.papers)) for name, row in TECHNIQUES.items()]
    return table(("`merging.technique=`", "the merge of θᵢ with weights wᵢ; τᵢ = θᵢ − θ₀", "paper"), rows)


def schedules() -> str:
    """Every option of ``schedule=``."""
    rows = [
        (option(name), words(row.formula), words(row.cooldown), linked(row.papers)) for name, row in SCHEDULES.items()
    ]
    return table(("`schedule=`", "after the warm-up η_t·(s+1)/w", "cool-down", "paper"), rows)


def meta_schedules() -> str:
    """Every option of ``meta_schedule=``, and the schedules that it has a form for."""
    rows = []
    for name, row in META_SCHEDULES.items():
        fitting = [option(each) for each, of in SCHEDULES.items() if fits(row.function, of.function)]
        rows.append((option(name), "any" if len(fitting) == len(SCHEDULES) else ", ".join(fitting), words(row.formula)))
    return table(("`meta_schedule=`", "with", "task t > 0, t from 0"), rows)


def fits(meta: Callable[[Schedule, fomo.Position], float], schedule: Schedule) -> bool:
    """Whether a meta-schedule takes a schedule, found by asking for a rate."""
    try:
        meta(schedule, fomo.Position(task=1, step=0, num_steps=100, peak=1.0, floor=0.001))
    except fomo.FomoError:
        return False
    return True


HANDED = (fomo.Batch, fomo.Features, fomo.Task, fomo.Position, Concept, Dataset)
"""What a part of somebody else's is handed, or returns: data, whose fields its docstring has to name."""


def interface() -> str:
    """Every class of :data:`HANDED`: its fields with their types, and its docstring."""
    return "".join(f"{_fields(each)}\n\n{_told(each)}\n\n" for each in HANDED)


def _fields(found: type) -> str:
    home = "fomo" if found.__name__ in fomo.__all__ else found.__module__
    typed = {
        name: re.sub(r"\b(?:\w+\.)+(?=\w)", "", formatannotation(of)) for name, of in found.__annotations__.items()
    }
    return f"`{home}.{found.__name__}`: " + ", ".join(f"`{name}: {kind}`" for name, kind in typed.items())


def _told(found: type) -> str:
    text = cleandoc(found.__doc__ or "").replace("``", "`")
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)


def desktop() -> str:
    """The datasets of the stream `desktop`, as they were published."""
    roles = {"adaptation": "to learn", "retention": "to keep", "pool": "pool"}
    rows = []
    for name, each in load_manifest().items():
        counts = (str(each["splits"].get(split, {}).get("images", 0)) for split in SPLITS)
        one = load_sets()[name]
        asked = f" (`--with {one.short}`)" if one.ask else ""
        rows.append((option(name) + asked, roles[one.role], one.domain, str(len(each["classes"])), *counts))
    return table(("dataset", "role", "shows", "classes", "train", "validation", "test"), rows)


TABLES = {
    "desktop": desktop,
    "interface": interface,
    "methods": methods,
    "trainables": trainables,
    "regularizers": regularizers,
    "diagnostics": diagnostics,
    "merges": merges,
    "techniques": techniques,
    "schedules": schedules,
    "meta_schedules": meta_schedules,
}


def filled(page: str) -> str:
    """A page with every marked table as its rows are now."""
    return MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], page)


def defaults() -> str:
    """What a plain ``fomo run`` composes, for the report, which is made without Hydra."""
    return yaml.safe_dump(compose([]), sort_keys=False, allow_unicode=True)


def main() -> None:
    """Write the pages, and the defaults that a report compares a run with."""
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    DEFAULTS.write_text(defaults(), encoding="utf-8")


if __name__ == "__main__":
    main()

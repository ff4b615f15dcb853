"""What a stream consists of, task by task, for people to look at."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fomo.stream.definition import Concept, definition
from fomo.stream.fingerprint import stream_data_sha256
from fomo.system.digest import json_digest
from fomo.system.writing import file_beside
from streams.catalogue import load
from streams.opening import available, open_all
from streams.plan import Plan, Tasks
from streams.pocket import cache
from streams.pocket import datasets as pocket

UNKNOWN = "unknown"
MOST_DOMAINS = 20


@dataclass(frozen=True)
class Summary:
    """``domains`` of all datasets; ``num_samples`` training samples per concept, where the data is there.

    ``data_sha256`` is ``None`` as long as data is absent; ``absent`` names the datasets that are.
    """

    name: str
    tasks: Tasks
    retention: tuple[str, ...]
    domains: Mapping[str, str]
    num_samples: Mapping[Concept, int]
    absent: tuple[str, ...]
    sha256: str
    data_sha256: str | None

    def datasets(self, task: int) -> dict[str, int]:
        """Concepts of each dataset in a task (from 0), the largest first."""
        return dict(Counter(concept.dataset for concept in self.tasks[task]).most_common())

    def samples(self, task: int) -> int | None:
        """Training samples of a task (from 0); ``None`` where data is absent."""
        counts = [self.num_samples.get(concept) for concept in self.tasks[task]]
        return None if None in counts else sum(count or 0 for count in counts)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        tasks = [
            {
                "task": number + 1,
                "concepts": len(task),
                "samples": self.samples(number),
                "datasets": self.datasets(number),
            }
            for number, task in enumerate(self.tasks)
        ]
        about = {"schema": "fomo.stream_summary/1", "name": self.name, "sha256": self.sha256}
        about |= {"data_sha256": self.data_sha256}  # type: ignore[dict-item]
        return about | {"retention": list(self.retention), "absent": list(self.absent), "tasks": tasks}


def summary(plan: Plan, num_tasks: int, seed: int, split: str) -> Summary:
    """Of a plan; nothing is drawn, and data that is absent is no mistake.

    Raises:
        FomoError: all data is there, and the stream cannot be run.
    """
    tasks = plan.tasks(num_tasks, seed)
    known = available(plan.root)
    names = (*plan.adaptation, *plan.retention)
    absent = tuple(name for name in names if name not in known)
    stream = None if absent or not plan.retention else plan.checked(num_tasks, seed, split)
    whole = None if stream is None or not _drawn(plan, split) else plan.with_data(stream, split)
    return Summary(
        plan.name,
        tasks,
        plan.retention,
        {name: domain_of(name, plan.root, known) for name in names},
        _num_samples(plan, {name for name in plan.adaptation if name in known}),
        absent,
        json_digest(definition(plan.name, tasks, plan.retention)),
        None if whole is None else stream_data_sha256(whole, split),
    )


def _drawn(plan: Plan, split: str) -> bool:
    """Whether all of the pocket's pictures that the stream needs are in the cache."""
    used = [(name, each) for name in plan.adaptation for each in ("train", split)]
    used += [(name, split) for name in plan.retention]
    drawn = {name: pocket.open_pocket(name).card.num_samples for name, _ in used if name in pocket.names()}
    requests = [cache.request(name, each) for name, each in used if each in drawn.get(name, ())]
    if plan.pool is None and plan.pool_size:
        requests.append(cache.Request(cache.POOL, "train", plan.pool_size))
    return all(request.folder.exists() for request in requests)


def domain_of(name: str, root: Path, known: Mapping[str, Path | None]) -> str:
    """From the dataset's card, else from the catalogue."""
    card = open_all([name], root)[name].card if name in known else None
    if card is not None and card.domain:
        return card.domain
    declaration = load().get(name)
    return ", ".join(declaration.domain) if declaration is not None else UNKNOWN


def _num_samples(plan: Plan, names: set[str]) -> dict[Concept, int]:
    counts: dict[Concept, int] = {}
    for name, dataset in open_all(names, plan.root).items():
        card = dataset.card
        if name in pocket.names():  # the classes of a pocket dataset are of one size: no picture has to be drawn
            totals = np.full(len(card.classes), card.num_samples.get("train", 0) // len(card.classes))
        elif not card.num_samples.get("train"):
            totals = np.zeros(len(card.classes), dtype=np.int64)
        else:
            targets = dataset.split("train").targets
            totals = np.bincount(targets[targets >= 0], minlength=len(card.classes))
        counts |= {Concept(name, label): int(total) for label, total in zip(card.classes, totals, strict=True)}
    return counts


def plot_domains(shown: Summary, path: Path) -> None:
    """A PNG: the share of each domain among the concepts of every task."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    counts = [Counter(shown.domains[concept.dataset] for concept in task) for task in shown.tasks]
    total = sum(counts, Counter[str]())
    domains = [domain for domain, _ in total.most_common(MOST_DOMAINS - 1)]
    if len(total) > len(domains):
        domains.append("others")
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    numbers = np.arange(1, len(counts) + 1)
    floor = np.zeros(len(counts))
    for place, domain in enumerate(domains):
        shares = np.array([_share(count, domain, domains) for count in counts])
        axes.bar(
            numbers, shares, bottom=floor, width=0.9, color=colormaps["tab20"](place % 20), label=_without_math(domain)
        )
        floor += shares
    axes.set(xlabel="task", ylabel="share of concepts [%]", ylim=(0, 100), xlim=(0.4, len(counts) + 0.6))
    axes.set_title(f"{_without_math(shown.name)}: {sum(map(len, shown.tasks))} concepts in {len(counts)} tasks")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", title="domain", fontsize="small")
    with file_beside(path) as scratch:
        figure.savefig(scratch, format="png", dpi=120)


def _without_math(text: str) -> str:
    """Matplotlib would set what stands between two dollar signs as a formula, or fail at it."""
    return text.replace("$", r"\$")


def _share(count: Counter[str], domain: str, domains: list[str]) -> float:
    part = sum(count[other] for other in count if other not in domains) if domain == "others" else count[domain]
    return 100 * part / count.total()

"""What a stream consists of, task by task, for people to look at."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from fomo.data.samples import Dataset
from fomo.stream.definition import Concept, definition
from fomo.stream.fingerprint import stream_data_sha256
from fomo.stream.plan import StreamPlan, Tasks
from fomo.system.digest import json_digest
from fomo.system.writing import file_beside
from streams.catalogue import UNKNOWN, load
from streams.opening import concepts_of, train_counts

MOST_DOMAINS = 20


@dataclass(frozen=True)
class StreamSummary:
    """What a stream consists of.

    Attributes:
        name: the stream's name.
        tasks: the concepts in order, cut into tasks.
        retention: names of the held-out datasets.
        domains: the domain of every dataset, by its name.
        num_samples: training samples of each concept, where the data is there.
        absent: names of the datasets that are not there.
        sha256: hash of the definition.
        data_sha256: hash of the data; ``None`` as long as some is absent or not drawn.
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
        """The summary as plain values, tasks counted from 1."""
        return {
            "schema": "fomo.stream_summary/1",
            "name": self.name,
            "sha256": self.sha256,
            "data_sha256": self.data_sha256,
            "retention": list(self.retention),
            "absent": list(self.absent),
            "tasks": [
                {
                    "task": number + 1,
                    "concepts": len(task),
                    "samples": self.samples(number),
                    "datasets": self.datasets(number),
                }
                for number, task in enumerate(self.tasks)
            ],
        }


def summary(plan: StreamPlan, num_tasks: int, seed: int, split: str) -> StreamSummary:
    """Summarise a plan; nothing is drawn, and absent data is no mistake.

    Args:
        plan: what is summarised.
        num_tasks: how many tasks the concepts are cut into.
        seed: of the order.
        split: what the run will be scored on.

    Raises:
        FomoError: all data is there, and the stream cannot be run.
    """
    tasks = plan.tasks(num_tasks, seed)
    absent = plan.absent()
    stream = None if absent or not plan.retention else plan.checked(num_tasks, seed, split)
    whole = None if stream is None or not plan.is_drawn(split) else plan.with_data(stream, split)
    present = plan.datasets((*plan.adaptation, *plan.retention))
    return StreamSummary(
        plan.name,
        tasks,
        tuple(plan.retention),
        {name: domain_of(name, present.get(name)) for name in (*plan.adaptation, *plan.retention)},
        _num_samples(dataset for name, dataset in present.items() if name in plan.adaptation),
        tuple(absent),
        json_digest(definition(plan.name, tasks, plan.retention)),
        None if whole is None else stream_data_sha256(whole, split),
    )


def domain_of(name: str, dataset: Dataset | None) -> str:
    """The domain from the dataset's card, else from the catalogue; ``dataset`` is ``None`` where it is absent."""
    if dataset is not None and dataset.card.domain:
        return dataset.card.domain
    declaration = load().get(name)
    return ", ".join(declaration.domain) if declaration is not None else UNKNOWN


def _num_samples(datasets: Iterable[Dataset]) -> dict[Concept, int]:
    """Training samples of every concept of some datasets."""
    pairs = (zip(concepts_of(dataset), train_counts(dataset).tolist(), strict=True) for dataset in datasets)
    return dict(chain.from_iterable(pairs))


def plot_domains(shown: StreamSummary, path: Path) -> None:
    """Draw the share of each domain among the concepts of every task to a PNG at ``path``."""
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
    for number, domain in enumerate(domains):
        shares = np.array([_share(count, domain, domains) for count in counts])
        axes.bar(
            numbers, shares, bottom=floor, width=0.9, color=colormaps["tab20"](number % 20), label=_without_math(domain)
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

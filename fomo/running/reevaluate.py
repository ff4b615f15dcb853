"""Score the deployed weights of a run of others again, and compare: with its data at hand, not with its word."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomo.config import factory
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.evaluation.kinds import Scored
from fomo.evaluation.zero_shot import evaluate
from fomo.model.names import UNSAID
from fomo.results.card import read_card
from fomo.results.config_file import read_config
from fomo.results.layout import WEIGHTS
from fomo.results.scores_file import read_scores
from fomo.running.contents import check_unchanged
from fomo.running.kept import check_kept, kept_files
from fomo.system.digest import file_digest

SHARE = 0.005
LEAST = 2
"""What rounding on another machine may turn: this share of a dataset's test samples, or so many of a small one."""


@dataclass(frozen=True)
class Again:
    """The score of a dataset in percent as it was submitted and as it is found; ``allowed`` is how far they may lie
    apart, in points."""

    dataset: str
    submitted: float
    found: float
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the two are the same but for rounding."""
        return abs(self.submitted - self.found) <= self.allowed


def reevaluated(run: Path, root: Path | None, on_dataset: Callable[[str], None] = lambda name: None) -> list[Again]:
    """Both scores of every dataset, of the weights in a run folder of others, which was checked.

    What its configuration allows and where it would write counts for nothing: only targets that are known here are
    built, on a device of this machine.

    Args:
        run: The folder, with the weights in it.
        root: Where the datasets lie, in place of the run's ``stream.root``; ``None``: where that says.
        on_dataset: Hears the name of each dataset once it is scored.

    Raises:
        FomoError: there are no weights, they are others than the card says, or base model, stream or data are not
            those of the run, or not to be had.
    """
    if not (run / WEIGHTS).is_file():
        raise FomoError(f"{run}: it holds no weights: `fomo submit --weights` packs them.")
    if file_digest(run / WEIGHTS) != read_card(run).weights_sha256:
        raise FomoError(f"{run}: its weights are not those that the run wrote (their hash differs from the card's).")
    check_kept(run, kept_files(run))
    values = _here(read_config(run), root)
    check_unchanged(run, resolve(values))
    node = values["model"]
    weights = {"folder": str(run)} | ({"pretrained": UNSAID} if "pretrained" in node else {})
    config = resolve({**values, "model": {**node, **weights}}).config
    scores = read_scores(run)
    model = factory.model(config)
    stream = factory.stream(config)

    def heard(name: str, scored: Scored) -> None:
        on_dataset(name)

    found = evaluate(model, stream, scores.num_tasks, config.evaluation.in_full, config.runtime, heard)
    submitted = scores.ends[1].scores
    return [
        Again(name, submitted[name], found.scores[name], 100 * max(SHARE, LEAST / max(about.num_samples, 1)))
        for name, about in scores.datasets.items()
    ]


def _here(values: Mapping[str, Any], root: Path | None) -> dict[str, Any]:
    """The configuration of a run of others, for this machine."""
    runtime = {**values["runtime"], "device": "auto", "num_workers": 0, "allow_targets": [], "strategy": "ddp"}
    stream = {**values["stream"], **({} if root is None else {"root": str(root)})}
    return {**values, "runtime": runtime, "stream": stream, "run": {"dir": None}, "resume": "auto"}

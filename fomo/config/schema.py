"""A run's configuration: composed once, checked, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from fomo.budget import Budget
from fomo.checkpoint.writer import CheckpointConfig
from fomo.errors import FomoError, check_allowed, check_choice, check_keys
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.templates import with_file
from fomo.results.config_file import LATER, LATER_GROUPS, check_score_version, comparable
from fomo.stream.batch_ladder import BatchLadder
from fomo.stream.batch_sizes import BatchScaling, BatchSizes, read_ramp
from fomo.stream.batches import Augmentation
from fomo.stream.buffer import Buffer
from fomo.stream.mixture import MixtureWeights
from fomo.stream.pools import Captions
from fomo.system.checks import is_count
from fomo.system.digest import json_digest
from fomo.system.runtime import Runtime
from fomo.training.nonfinite import POLICIES
from fomo.version import FIRST_SCORE_VERSION

PARTS = (
    *("model", "stream", "trainable", "modulation", "regularizer", "merging", "diagnostics", "activations"),
    *("schedule", "meta_schedule", "optimizer"),
)
RESUME = ("auto", "must", "never", "again")
KEEP_WEIGHTS = ("last", "all")
Part = dict[str, Any]


@dataclass(frozen=True)
class RunConfig:
    """``dir``: the run folder; ``None`` means ``runs/`` and the hash of the configuration.

    ``tuned``: the file of the study of ``fomo tune`` by which the settings were chosen, if one was.
    """

    dir: str | None = None
    tuned: str | None = None

    def __post_init__(self) -> None:
        check_allowed(self.dir != "", "run.dir=", "a folder, and null")
        if self.dir is None or (self.dir.isprintable() and all(len(part) < 200 for part in Path(self.dir).parts)):
            return
        raise FomoError(f"run.dir={self.dir[:80]!a}: a folder's name is one line, its parts of 199 characters at most.")


@dataclass(frozen=True)
class Config:
    """Values of a run; the sections named in :data:`PARTS`, and ``log``, say by ``_target_`` what to
    build."""

    seed: int
    num_tasks: int
    batch_size: int
    max_grad_norm: float
    max_logit_scale: float | None
    augmentation: Augmentation
    mixture: MixtureWeights
    budget: Budget
    evaluation: EvaluationConfig
    runtime: Runtime
    model: Part
    stream: Part
    trainable: Part
    modulation: Part
    regularizer: Part
    merging: Part
    diagnostics: Part
    activations: Part
    schedule: Part
    meta_schedule: Part
    optimizer: Part
    log: Part
    batch_ramp: Any = None
    batch_ladder: BatchLadder = field(default_factory=BatchLadder)
    batch_scaling: BatchScaling = field(default_factory=BatchScaling)
    buffer: Buffer = field(default_factory=Buffer)
    captions: Captions = field(default_factory=Captions)
    run: RunConfig = field(default_factory=RunConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    resume: str = "auto"
    on_nan: str = "stop"
    rewind_every: int = 100
    keep_weights: str = "last"
    label: str = ""
    score_version: str = FIRST_SCORE_VERSION

    def __post_init__(self) -> None:
        check_score_version(self.score_version, "the configuration")
        check_choice("value of resume", self.resume, RESUME)
        check_choice("value of on_nan", self.on_nan, POLICIES)
        check_choice("value of keep_weights", self.keep_weights, KEEP_WEIGHTS)
        self._check_within()
        for name in ("num_tasks", "batch_size", "rewind_every"):
            check_allowed(getattr(self, name) >= 1, f"{name}={getattr(self, name)}", "1 and above")
        for name in ("max_grad_norm", "max_logit_scale"):
            value = getattr(self, name)
            check_allowed(value is None or value > 0, f"{name}={value}", "numbers above 0")
        _ = self.sizes  # refuses a ramp that makes no sense
        self._check_ladder()
        seed = self.stream.get("seed")
        allowed = "integers from 0, and null: that of the run"
        check_allowed(seed is None or is_count(seed), f"stream.seed={seed}", allowed)

    def _check_within(self) -> None:
        if self.evaluation.every_steps is not None and self.runtime.strategy == "fsdp":
            raise FomoError(
                f"evaluation.every_steps={self.evaluation.every_steps} with runtime.strategy=fsdp: within a task each "
                "process has a part of the weights alone, so nothing can be scored there. Leave one of the two out."
            )

    def _check_ladder(self) -> None:
        sizes = f"batch_ladder.sizes={self.batch_ladder.sizes}"
        self.batch_ladder.check_above(self.batch_size)
        if self.batch_ladder.rungs and self.batch_ramp is not None:
            raise FomoError(
                f"{sizes} with batch_ramp={self.batch_ramp}: both set later sizes. Leave one of the two out."
            )
        if self.batch_ladder.rungs and self.mixture.batches == "unmixed":
            raise FomoError(
                f"{sizes} with mixture.batches=unmixed: a batch of one pool does not tell how much the gradients of "
                "pools differ. Take mixture.batches=mixed, or leave the ladder out."
            )
        if self.batch_ladder.rungs and self.budget.unit == "wall_seconds":
            raise FomoError(
                f"{sizes} with budget=wall_seconds: the steps of a size would be timed anew by a run that goes on. "
                "Take another budget, as budget=mafs, or leave the ladder out."
            )

    @property
    def stream_seed(self) -> int:
        """What the order of the stream is drawn from: ``stream.seed``, else the run's seed."""
        own: int | None = self.stream.get("seed")
        return self.seed if own is None else own

    @cached_property
    def sizes(self) -> BatchSizes:
        """The sizes of all batches."""
        return BatchSizes(self.batch_size, read_ramp(self.batch_ramp), self.batch_ladder.rungs)


@dataclass(frozen=True)
class Resolved:
    """A checked configuration, and its plain values as ``config.yaml`` stores them."""

    config: Config
    values: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Hash of everything that the result depends on."""
        return json_digest(comparable(self.values))

    def begun_in(self, folder: Path) -> "Resolved":
        """The same run, begun in ``folder``: whatever is typed later, it goes on there."""
        config = replace(self.config, run=replace(self.config.run, dir=str(folder)), resume="auto")
        run = {**self.values["run"], "dir": str(folder)}
        return Resolved(config, {**self.values, "run": run, "resume": "auto"})

    def to_yaml(self) -> str:
        """The resolved configuration; it replays the run."""
        return yaml.safe_dump(dict(self.values), sort_keys=False, allow_unicode=True)


def resolve(values: Mapping[str, Any]) -> Resolved:
    """Check plain values against :class:`Config`; unknown keys and values of another type are refused.

    A file that ``evaluation.templates`` names is read into the values.
    """
    values = with_file(values)
    _check_sections(Config, values, "")
    try:
        whole = {group: LATER[group] for group in LATER_GROUPS} | dict(values)
        merged = OmegaConf.merge(_schema(), whole)  # which leaves the schema as it is
        config: Config = OmegaConf.to_object(merged)  # type: ignore[assignment]
    except MissingMandatoryValue as error:
        raise FomoError(f"{error.full_key} is missing: give it a value.") from None
    except OmegaConfBaseException as error:
        raise FomoError(f"{error.full_key}: {str(error).splitlines()[0]}.") from None
    assert isinstance(merged, DictConfig)
    for key in ("precision", "planned_precision"):  # what `auto` means here: elsewhere it is another experiment
        merged.runtime[key] = getattr(config.runtime, key)
    return Resolved(config, OmegaConf.to_container(merged))  # type: ignore[arg-type]


@cache
def _schema() -> Any:
    schema = OmegaConf.structured(Config)
    _thaw(schema)
    return schema


def _thaw(node: Any) -> None:
    """Frozen dataclasses give read-only nodes, which would refuse the values they are to take."""
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if OmegaConf.is_dict(child) and not child._is_none():
            _thaw(child)


def _check_sections(kind: Any, values: Mapping[str, Any], name: str) -> None:
    """Refuse an unknown key with the nearest known one, before any value is read."""
    known = {f.name: f.type for f in fields(kind)}
    check_keys(name or "the configuration", values, known)
    for key, value in values.items():
        section = f"{name}.{key}" if name else key
        if is_dataclass(known[key]) and isinstance(value, Mapping):
            _check_sections(known[key], value, section)
        elif is_dataclass(known[key]):
            raise FomoError(f"{section}={value}: this is a section, give the value of one of its keys: {section}.KEY.")

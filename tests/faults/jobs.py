"""What the campaign kills: runs over methods, schedules and much else, imports, and the drawing of the pictures."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fomo.config.compose import groups
from tests import tiny
from tests.faults import compare
from tests.fomo.helpers import encoded, picture, put
from tests.fomo.tars import tar

SHORT = ("schedule.warmup=0.2", "schedule.cooldown=0.2")
"""So that tasks of three steps have all parts of a schedule."""
SCHEDULES = (
    ("schedule=cosine",),
    ("schedule=constant",),
    ("schedule=rsqrt", *SHORT),
    ("schedule=power",),
    ("schedule=wsd", *SHORT),
    ("schedule=cosine", "meta_schedule=autoregressive"),
    ("schedule=cosine", "meta_schedule=dynamic"),
    ("schedule=rsqrt", *SHORT, "meta_schedule=autoregressive"),
    ("schedule=rsqrt", *SHORT, "meta_schedule=continued"),
    ("schedule=rsqrt", *SHORT, "meta_schedule=recovered"),
)
SAVING = ("checkpoint.every_steps=1", "checkpoint.every_steps=2", "checkpoint.every_steps=null")
BESIDE = {"ewc": ("regularizer.num_samples=60",)}
OTHERS: tuple[tuple[str, ...], ...] = (
    ("experiment=joint",),
    ("experiment=replay_only",),
    ("optimizer=sgd", "mixture.batches=unmixed"),
    ("optimizer=lamb", "buffer.capacity=20", "buffer.policy=class_balanced"),
    ("optimizer=timm", "optimizer.name=adafactor"),
    ("optimizer=galore", "optimizer.update_proj_gap=2", *tiny.COUNTED, "budget.total_mafs=60"),
    ("model=pocket", "method=lora_ema", "trainable.rank=2", "trainable.placement=all"),
    ("model=pocket", "runtime.grad_checkpointing=true", *tiny.COUNTED),
    ("runtime.precision=bf16",),
    ("batch_ramp=[[40,12]]", "batch_scaling.rule=linear"),
    ("num_tasks=3", "batch_ladder.sizes=[36,48]", "diagnostics=gradient_noise", "diagnostics.norm=0.5"),
    ("method=offline_merge", "merging.technique=ties", "num_tasks=3"),
    ("method=zs_merge", "merging.technique=dare_ties", "merging.density=0.3"),
    ("method=ft_merge", "merging.technique=slerp"),
)
MERGES = ("ema_merge", "zs_merge", "ft_merge", "offline_merge", "lora_ema")
FILES = 240


@dataclass(frozen=True)
class Job:
    """A command that may be killed. What it makes depends on ``overrides``, and must not on ``free``.

    ``aims``: phases that a kill may wait for, besides a random moment.
    """

    kind: str
    overrides: tuple[str, ...]
    free: tuple[str, ...] = ()
    aims: tuple[str, ...] = ("checkpoint", "evaluation", "step")

    def __str__(self) -> str:
        return " ".join((self.kind, *self.overrides, *self.free))

    def arguments(self, place: Path) -> list[str]:
        """Of ``fomo``, to be made at ``place``."""
        if self.kind in IMPORTS:
            source = [str(place.parent / "sources" / part) for part in self.overrides]
            path = [source[0]] if len(source) < 2 else [source[0], "--info", source[1]]
            return ["data", "import", self.kind, *path, "--name", "SETS", "--out", str(place), *self.free]
        return ["run", *tiny.TINY, *self.overrides, *self.free, f"run.dir={place}"]

    def environment(self, place: Path) -> Mapping[str, str]:
        """The drawing has a cache of its own."""
        return {"FOMO_CACHE": f"{place}_cache"} if self.kind == DRAWING else {}

    def looks_finished(self, place: Path) -> bool:
        """Whether a dataset is there; an import refuses to start again then. A run may always be started again."""
        return self.kind in IMPORTS and (place / "SETS").exists()

    def differences(self, one: Path, other: Path) -> list[str]:
        """What differs between two places; the files of an import are compared one and all."""
        if self.kind in IMPORTS:
            return compare.different_files(one, other)
        drawn = compare.different_files(Path(f"{one}_cache"), Path(f"{other}_cache")) if self.kind == DRAWING else []
        return [*compare.differences(one, other), *drawn]


DRAWING = "run that draws its pictures"
RUN = "run"


def runs() -> list[Job]:
    """Every preset of a method, each with the next of the schedules; what else a run may be made of."""
    methods = groups()["method"]
    chosen = [
        (f"method={name}", *BESIDE.get(name, ()), *SCHEDULES[number % len(SCHEDULES)])
        for number, name in enumerate(methods)
    ]
    chosen += OTHERS
    return [
        Job(RUN, overrides, (SAVING[number % 3], f"runtime.num_workers={4 * (number % 2)}"), _aims(overrides))
        for number, overrides in enumerate(chosen)
    ]


def _aims(overrides: tuple[str, ...]) -> tuple[str, ...]:
    merges = any(f"method={name}" in overrides for name in MERGES)
    return ("merge", "checkpoint") if merges else Job.aims


def jobs() -> list[Job]:
    """All of them: runs, imports of every kind, and a drawing."""
    imports = [Job(kind, parts, ("--workers", "1"), ("import",)) for kind, (parts, _) in IMPORTS.items()]
    imports += [Job("folder", ("tree",), ("--workers", "2"), ("import",))]
    return [*runs(), *imports, Job(DRAWING, (), ("checkpoint.every_steps=2",), ("drawing",))]


def make_sources(folder: Path) -> None:
    """Small data of every kind of import, with what has to be left out."""
    for _, make in IMPORTS.values():
        make(folder)


def _tree(folder: Path) -> None:
    for number in range(FILES):
        put(folder / "tree" / f"class {number % 3}" / f"{number}.png", picture(number, (20, 16)))
    put(folder / "tree" / "class 0" / "broken.png", b"no picture")


def _shards(folder: Path) -> None:
    for shard in range(FILES // 10):
        numbers = range(10 * shard, 10 * shard + 10)
        pictures = [(f"{number}.png", encoded(picture(number, (20, 16)))) for number in numbers]
        tar(folder / "wds" / f"{shard}.tar", [*pictures, *((f"{n}.txt", b"text") for n in numbers if n % 7)])


def _reference(folder: Path) -> None:
    names = [f"{number}.png" for number in range(FILES)]
    members = [(f"SETS/{name}", encoded(picture(n, (20, 16)))) for n, name in enumerate(names) if n % 7]
    tar(folder / "reference" / "SETS.tar", reversed(members))
    about = {name: {"classname": None, "target": 0, "default_caption": f"picture {name}"} for name in names}
    put(folder / "info" / "SETS_test.json", json.dumps(about))


IMPORTS: dict[str, tuple[tuple[str, ...], Callable[[Path], None]]] = {
    "folder": (("tree",), _tree),
    "webdataset": (("wds",), _shards),
    "fomo-in-flux": (("reference", "info"), _reference),
}
"""Kind: where its data lies below the folder of sources, and what makes it."""

"""``card.json``: what depends on time and machine, and the hashes that a result rests on. Written last."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.config_file import comparable
from fomo.results.layout import CARD, CONFIG, LEDGER, PENDING, SCORES
from fomo.system.checks import is_number, is_strings
from fomo.system.digest import file_digest, json_digest
from fomo.system.reading import read_json
from fomo.system.writing import write_json

SCHEMA = "fomo.card/1"


@dataclass(frozen=True)
class RunCard:
    """The content of ``card.json``. Times are in seconds, memory in GiB.

    The hashes are SHA-256: of configuration, stream, its concepts as listed (before a seed orders them), its data, base
    model, deployed weights (empty where what was scored is more than weights), samples that were right (empty where
    they are not kept), ledger and scores; ``code`` are those of parts that are not ours, by target.
    ``kept_sha256`` are those of the weights that were kept after tasks, by file; ``None`` in a card of before.
    ``weight_decay`` says how strong it is and what it reaches; ``compute`` holds rates, MFU and HFU, of the run
    and of its stages (:mod:`fomo.results.stages`; ``None`` where nothing was trained); ``batch_sizes`` are those of
    each task, where they were decided as the run went on;
    ``caveats`` say what keeps the result from being compared freely; ``left_out`` counts data that could not be used,
    ``num_cut_captions`` the training rows whose caption the context has cut. ``extra_parameters`` are tensors that a
    plain model lacks, each with the part that makes it, its class and the file that it is in. ``tuning`` is of the
    study that chose the settings (``run.tuned``): the trial, and number and cost of all trials. ``num_processes`` have
    taken the steps together; ``device``, ``num_threads`` and both memories are those of the first one.
    """

    scores_sha256: str
    ledger_sha256: str
    seconds: float
    label: str = ""
    config_sha256: str = ""
    stream_sha256: str = ""
    stream_listing_sha256: str = ""
    stream_data_sha256: str = ""
    base_sha256: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    samples_sha256: str = ""
    kept_sha256: Mapping[str, str] | None = None
    extra_parameters: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: Mapping[str, Any] = field(default_factory=dict)
    tuning: Mapping[str, Any] | None = None
    device: str = ""
    num_threads: int = 0
    num_processes: int = 1
    peak_memory_gib: float = 0
    peak_memory_allocated_gib: float | None = None
    compute: Mapping[str, Any] | None = None
    batch_sizes: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    caveats: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    num_cut_captions: int = 0

    def write(self, run: Path) -> None:
        """Write the file into a run folder, which is finished with it."""
        values = asdict(self)
        values["marks"] = list(values.pop("caveats"))
        write_json(run / CARD, {"schema": SCHEMA, **values})

    def check_untouched(self, run: Path) -> None:
        """Refuse a run folder whose scores or ledger are not those that the run wrote.

        Raises:
            FomoError: one of the two files is not there, or has another hash than the card says.
        """
        for name, promised in ((SCORES, self.scores_sha256), (LEDGER, self.ledger_sha256)):
            if not (run / name).is_file():
                raise FomoError(f"{run}: it holds no {name}.")
            if file_digest(run / name) != promised:
                left = " `fomo evaluate` has ended while it wrote: started again, it mends that."
                raise FomoError(
                    f"{run}: {name} is not the one that the run wrote (its hash differs from the card's)."
                    f"{left if (run / PENDING).is_file() else ''}"
                )

    def check_config(self, run: Path, values: Mapping[str, Any]) -> None:
        """Refuse the configuration of another run; ``values`` are those of ``config.yaml``.

        Raises:
            FomoError: it has another hash than the card says.
        """
        if self.config_sha256 not in ("", json_digest(comparable(values))):
            raise FomoError(f"{run}: {CONFIG} is not the one of the run (its hash differs from the card's).")


def read_card(run: Path) -> RunCard:
    """The card of a finished run. Of a card that lacks what nobody is ranked by, that is empty.

    Raises:
        FomoError: ``card.json`` is not there, or not the card of a run.
    """
    path = run / CARD
    values = read_json(path)
    hashes = isinstance(values, dict) and all(isinstance(values.get(f"{k}_sha256"), str) for k in ("scores", "ledger"))
    strings = hashes and is_strings([values.get(each.name, "") for each in fields(RunCard) if each.type is str])
    if not strings or not is_number(values.get("seconds")):
        raise FomoError(f"{path}: not the card of a run.")
    known = {each.name for each in fields(RunCard)} - {"caveats"}
    marks = values.get("marks", [])
    caveats = tuple(map(str, marks)) if isinstance(marks, list) else ()
    return RunCard(**{key: value for key, value in values.items() if key in known}, caveats=caveats)


def check_finished(run: Path, config: Mapping[str, Any] | None = None) -> None:
    """Refuse files that a finished run has not written: edited, or of another run that was copied over it.

    They are scores and ledger, and the configuration, whose values ``config`` has where they are at hand.

    Raises:
        FomoError: one of them is not the file that the card is of, or the card is none. A run without one passes.
    """
    if not (run / CARD).is_file():
        return
    card = read_card(run)
    card.check_untouched(run)
    if config is not None:
        card.check_config(run, config)

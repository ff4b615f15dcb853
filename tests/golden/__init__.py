"""Numbers that must not move: the losses and scores of the tiny experiment, per method.

``python -m tests.golden`` writes them anew; a change that needs it says so in the CHANGELOG under "score".
"""

import json
from pathlib import Path
from typing import Any

from fomo.results.scores_file import read_scores
from tests import tiny

FILE = Path(__file__).parent / "tiny.json"
CASES = ("method=finetune", "method=locked_text", "method=lora_ema model=pocket", "method=ema_merge seed=0")


def run(folder: Path, case: str) -> dict[str, Any]:
    """The numbers of a case, run in ``folder``, with enough test images that scores are no coarse steps."""
    return measured(tiny.run(folder, "stream.test_images=200", *case.split()))


def measured(run: Path) -> dict[str, Any]:
    """Losses of all steps and KA and ZS after every update of a run."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    return {"losses": losses, "points": [[point.ka, point.zs] for point in read_scores(run).points]}


def stored() -> dict[str, Any]:
    """The checked-in numbers by case."""
    numbers: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return numbers

"""The trials of a tuning study, best first: rows of a table, a page, what they cost."""

from collections.abc import Iterator, Sequence
from typing import Any

from fomo.report.board import markdown_row
from fomo.report.tuning import CHOSEN
from fomo.report.words import amount
from fomo.results.ledger import GIGA
from fomo.results.tuning import Trial, TuningStudy

INFEASIBLE = "infeasible"
ABOUT = "GM = √(KA·ZS) on the validation split, mean over seeds ± half of their 95 % interval (Student's t)."


def heads(study: TuningStudy) -> list[str]:
    """The columns: the trial's number, the keys of the space, its GM, that with each seed, whether it is chosen."""
    return ["trial", *study.searched.space, "GM", *(f"seed {seed}" for seed in study.searched.seeds), "chosen"]


def rows(study: TuningStudy) -> list[tuple[str, ...]]:
    """A row for each trial, best first, those that are not feasible last, others in the order in which they came."""
    numbered = sorted(enumerate(study.trials), key=lambda each: (-(each[1].value or -1), each[0]))
    return [tuple(_cells(study, number, trial)) for number, trial in numbered]


def _cells(study: TuningStudy, number: int, trial: Trial) -> Iterator[str]:
    yield str(number + 1)
    yield from map(str, trial.overrides.values())
    yield result(trial)
    yield from (f"{trial.gm[seed]:.1f}" if trial.gm else "–" for seed in study.searched.seeds)
    yield CHOSEN if number == study.best else ""


def result(trial: Trial) -> str:
    """Mean GM over seeds with its interval, where there are several; or that the settings are not feasible."""
    if trial.result is None:
        return INFEASIBLE
    spread = "" if trial.result.half_width is None else f" ± {trial.result.half_width:.2f}"
    return f"{trial.result.mean:.2f}{spread}"


def cost_line(cost: dict[str, Any]) -> str:
    """Number and cost of trials: ``25 trials (1 infeasible), 75 runs, 27,000 steps, 362,000 MAFs (GFLOPs)``."""
    failed = f" ({cost['infeasible']} {INFEASIBLE})" if cost["infeasible"] else ""
    spent = [f"{cost['trials']} trials{failed}", f"{cost['runs']} runs", f"{cost['steps']:,} steps"]
    if cost["mafs"] is not None:
        spent.append(f"{amount(cost['mafs'], 6)} MAFs (GFLOPs)")
    elif cost["flops"] is not None:
        spent.append(f"{amount(cost['flops'] / GIGA, 6)} GFLOPs")
    return ", ".join(spent)


def page(study: TuningStudy, command: str, settings: Sequence[str]) -> str:
    """All trials in Markdown, what they cost, and the chosen settings.

    Args:
        study: The study.
        command: What runs the chosen settings.
        settings: The lines of its file of settings.
    """
    columns = heads(study)
    words = (*study.searched.space, "chosen")
    aligned = ["---" if head in words else "--:" for head in columns]
    failed = [f"- trial {number}: {trial.failure}" for number, trial in enumerate(study.trials, 1) if trial.failure]
    space = ", ".join(f"`{key}={values}`" for key, values in study.searched.space.items())
    lines = [ABOUT, f"Searched: {space}. {cost_line(study.cost)}.", ""]
    lines += map(markdown_row, (columns, aligned, *rows(study)))
    lines += ["", *failed, *([""] if failed else []), "```yaml", *settings, "```", "", "```bash", command, "```", ""]
    return "\n".join(lines)

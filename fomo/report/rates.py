"""What runs of one study took where their batches differ: steps, samples, rate and MFU."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from fomo.report.entries import BoardRun
from fomo.system.checks import is_number

ABOUT = (
    "Batches of different sizes, over {samples}. This is not equal loss: in a contrastive batch every other sample is "
    "a negative, so that size changes the task itself. Rates and MFU are of training, hooks included, on the machines "
    "that these runs had; what several processes bring is `benchmarks/devices.py`."
)
HEADS = ("method", "settings", "batch", "steps", "samples", "processes", "samples/s", "MFU")


def have_other_batches(entries: Sequence[Sequence[BoardRun]]) -> bool:
    """Whether the batch size is among the settings of entries, each of which is its runs."""
    return len({runs[0].values.get("batch_size") for runs in entries}) > 1


def about(entries: Sequence[Sequence[BoardRun]]) -> str:
    """What is to be known of such a table, with the number of samples if that is one for all."""
    found = {run.num_samples for runs in entries for run in runs}
    samples = f"{found.pop():,} samples each" if len(found) == 1 else "different numbers of samples"
    return ABOUT.format(samples=samples)


def cells(runs: Sequence[BoardRun]) -> Iterator[str]:
    """The cells of an entry after its name and settings; a mean over its runs, a dash where one does not say."""
    yield f"{runs[0].values['batch_size']:,}"
    for numbers in ([run.steps for run in runs], [run.num_samples for run in runs], [run.processes for run in runs]):
        yield " to ".join(f"{number:,}" for number in sorted({min(numbers), max(numbers)}))
    yield _mean(runs, "samples_per_second", "{:,.0f}")
    yield _mean(runs, "mfu", "{:.1%}")


def _mean(runs: Sequence[BoardRun], name: str, form: str) -> str:
    values = [run.compute.get(name) if isinstance(run.compute, Mapping) else None for run in runs]
    numbers = [float(value) for value in values if value is not None and is_number(value)]
    return form.format(fmean(numbers)) if len(numbers) == len(values) else "–"

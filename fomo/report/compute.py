"""What a run was charged, in words."""

from fomo.report.words import amount
from fomo.results.ledger import GIGA, LedgerFile


def compute_line(ledger: LedgerFile) -> str:
    """What was spent: ``360 of 360 steps, 4,829.9 of 4,840 MAFs (GFLOPs)``; batch sizes that were decided."""
    sizes = ", ".join(map(str, ledger.batch_sizes.values()))
    return f"{_spent(ledger)}; batch sizes of the tasks: {sizes}" if sizes else _spent(ledger)


def _spent(ledger: LedgerFile) -> str:
    lost = f" ({ledger.lost_steps} lost)" if ledger.lost_steps else ""
    steps = f"{ledger.charged.steps} of {ledger.planned.steps} steps{lost}"
    if ledger.unit == "total_mafs":
        return f"{steps}, {amount(ledger.charged.mafs or 0)} of {amount(ledger.total)} MAFs (GFLOPs)"
    gflops = amount((ledger.charged.flops or 0) / GIGA)
    of_total = f" of {amount(ledger.total)}" if ledger.unit == "total_gflops" else ""
    return f"{steps}, {gflops}{of_total} GFLOPs"

"""The compute budget: units, counting, planning on fake tensors, the ledger that enforces the plan.

MAF, memory-adjusted FLOPs = FLOPs × (peak memory of the method ÷ peak memory of full fine-tuning of the same model
at the same batch and precision). Roth et al. 2024, arXiv 2408.14471, section 3.
"""

from fomo.budget.units import NOT_BUDGETED, NOT_COMPARABLE, Budget

__all__ = ["NOT_BUDGETED", "NOT_COMPARABLE", "Budget"]

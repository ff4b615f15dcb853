"""Worker processes end with the process that started them."""

import subprocess
import sys

ERROR = """
from torch.utils.data import DataLoader, Dataset

from fomo.workers import leave_signals_to_parent


class Broken(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        raise ValueError("broken")


batches = iter(DataLoader(Broken(), num_workers=2, worker_init_fn=leave_signals_to_parent))
next(batches)
"""


def test_an_error_of_a_loader_worker_ends_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", ERROR], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1 and "ValueError: broken" in ended.stderr
    assert "killed" not in ended.stderr

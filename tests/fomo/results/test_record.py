"""What a run writes while it goes on says by whom it was computed."""

from pathlib import Path

import pytest

from fomo.results.record import Record
from fomo.results.scores import ScoredStream, Scores
from tests import tiny


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (["2", "2"], ()),
        (["2", "2 fsdp"], ("processes: 2, then 2 fsdp",)),
        (["2", "3", "3", "1"], ("processes: 2, then 3, then 1",)),
    ],
)
def test_a_run_that_goes_on_in_another_way_is_marked(ways: list[str], said: tuple[str, ...], tmp_path: Path) -> None:
    state = None
    for processes in ways:
        record = Record(Scores(tmp_path, ScoredStream("none"), "test", (), 1, {}), tiny.Silent().step, processes)
        if state:
            record.load_state_dict(state)
        state = record.state_dict()
        record.close()
    assert record.scores.caveats == said

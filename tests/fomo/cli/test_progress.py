"""How far a run is can be seen with and without a terminal."""

import io

from rich.console import Console

from fomo.cli.progress import ProgressBars, ProgressLines
from fomo.cli.run import OnConsole


def test_lines_say_each_task_each_score_and_once_in_a_while_the_steps() -> None:
    said: list[str] = []
    now = [0.0]
    with ProgressLines(said.append, lambda: now[0]) as lines:
        lines.planned(2, 8, 3)
        lines.scored(0, 12.34, 56.78)
        for task in (1, 2):
            for step in range(4):
                now[0] += 20
                lines.step(task, step, 1.5)
        lines.scored(2, 20, 50)
    assert said == [
        "8 steps to take in 2 tasks; 3 datasets to evaluate on",
        "before training: KA 12.3, ZS 56.8",
        "task 1 of 2, loss 1.500: 1 of 8 steps, 0:00:20 so far, about 0:02:20 left",
        "task 1 of 2, loss 1.500: 3 of 8 steps, 0:01:00 so far, about 0:01:40 left",
        "task 2 of 2, loss 1.500: 5 of 8 steps, 0:01:40 so far, about 0:01:00 left",
        "task 2 of 2, loss 1.500: 7 of 8 steps, 0:02:20 so far, about 0:00:20 left",
        "task 2 of 2, loss 1.500: 8 of 8 steps, 0:02:40 so far, about 0:00:00 left",
        "after task 2: KA 20.0, ZS 50.0",
    ]


def test_a_terminal_has_bars_and_the_scores_above_them_and_a_file_has_lines() -> None:
    screen = io.StringIO()
    with OnConsole(Console(file=screen, force_terminal=True, width=100)).watching() as bars:
        assert isinstance(bars, ProgressBars)
        bars.planned(1, 2, 1)
        bars.scored(0, 12.34, 56.78)
        bars.step(1, 0, 1.5)
        bars.evaluating(1, "birds")
        bars.refresh()
    shown = screen.getvalue()
    assert "before training: KA 12.3, ZS 56.8" in shown and "task 1 of 1, loss 1.500" in shown and "50%" in shown
    plain = io.StringIO()
    with OnConsole(Console(file=plain)).watching() as lines:
        lines.planned(1, 1, 1)
        lines.step(1, 0, 1.5)
    assert len(plain.getvalue().splitlines()) == 2 and "\x1b" not in plain.getvalue()

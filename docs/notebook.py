"""The benchmark from Python, cell by cell: runs in one process, a method that is defined here, results as frames."""

# %% An experiment: overrides as on the command line, and what comes back is the run
import pandas

import fomo

SMALL = [
    "stream.adaptation=[pocket_flags]",
    "stream.retention=[pocket_counting]",
    "stream.pool_size=500",
    "num_tasks=1",
    "batch_size=24",
    "budget=steps",
    "budget.steps=3",
    "evaluation.subset=none",
]
runs = [fomo.run([*SMALL, f"seed={seed}"]) for seed in (0, 1)]
print([f"{run.label}, seed {run.config['seed']}: GM {run.final.gm:.1f}" for run in runs])


# %% A method of one's own
class Pull(fomo.Method):
    """Adds λ/2 · ‖θ − θ₀‖² over what is trained, λ = ``strength``."""

    def __init__(self, strength: float = 0.01):
        self.strength = strength

    def begin_run(self, network, seed):
        """Keep θ₀."""
        self.start = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    def loss(self, network, batch, loss):
        """Return the loss so far with the penalty added."""
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and name in self.start:
                loss = loss + self.strength / 2 * (parameter - self.start[name]).square().sum()
        return loss


runs.append(fomo.run([*SMALL, "regularizer.strength=10"], parts=[Pull]))

# %% Results: typed, and as data frames
pulled = fomo.load(runs[-1].folder)
print(pulled.scores.evaluations[-1].scores["pocket_flags"], pulled.card.seconds, pulled.ledger.charged.steps)
scores = pandas.concat([run.score_frame() for run in runs])
print(scores.pivot_table(index=["label", "seed"], columns=["dataset", "task"], values="score"))
steps = pandas.concat([run.step_frame() for run in runs])
print(steps.groupby(["label", "seed"])["loss"].agg(["first", "last"]))

# %% The weights of a run are the base of the next one
onward = fomo.run([*SMALL, "seed=2", f"model.folder={pulled.folder}"])
print(onward.path[0].gm == pulled.final.gm)

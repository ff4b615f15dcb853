"""Every method: the one list of them. A method is a preset, ``conf/method/NAME.yaml``, over parts that stand alone.

``fomo methods`` and the table in README.md are made from these rows. Nothing here imports torch.
"""

from typing import NamedTuple

from methods.papers import PAPERS, Papers


class Preset(NamedTuple):
    """What a method trains, what it does after each task (``–`` for nothing), and the papers that it comes from."""

    trained: str
    after_task: str = "–"
    papers: Papers = ()

    @property
    def about(self) -> str:
        """Both halves in one line."""
        return self.trained if self.after_task == "–" else f"{self.trained}; after each task: {self.after_task}"


PRESETS = {
    "frozen": Preset("nothing: the base model"),
    "finetune": Preset("everything (default)"),
    "locked_text": Preset("the image tower", papers=(PAPERS["locked"],)),
    "locked_image": Preset("the text tower and the temperature", papers=(PAPERS["locked"],)),
    "lnfit": Preset("the affine part of norm layers", papers=(PAPERS["lnfit"],)),
    "bitfit": Preset("the biases", papers=(PAPERS["bitfit"],)),
    "lora": Preset("low-rank updates of attention and MLP weights", papers=(PAPERS["lora"],)),
    "dora": Preset(
        "low-rank updates of the direction of attention and MLP weights, and the length of their rows",
        papers=(PAPERS["dora"],),
    ),
    "vera": Preset("vectors over one frozen random low-rank pair", papers=(PAPERS["vera"],)),
    "ewc": Preset(
        "everything, held to what had large gradients in earlier tasks",
        "importance estimated",
        (PAPERS["ewc"], PAPERS["online_ewc"]),
    ),
    "si": Preset(
        "everything, held to what brought the loss down in earlier tasks", "importance estimated", (PAPERS["si"],)
    ),
    "l2": Preset("everything, held to the base model's weights", papers=(PAPERS["l2_sp"],)),
    "lwf": Preset("everything, distilled from the base model on the batch", papers=(PAPERS["lwf"],)),
    "zscl": Preset(
        "everything, distilled from the base model on pretraining data",
        "weights averaged along the task",
        (PAPERS["zscl"],),
    ),
    "galore": Preset("everything, by an optimizer in low-rank subspaces of the gradient", papers=(PAPERS["galore"],)),
    "ema_merge": Preset(
        "everything",
        "weights averaged with the running merge, which training goes on from",
        (PAPERS["ema"], PAPERS["temporal"]),
    ),
    "zs_merge": Preset(
        "everything, in each task from the base model",
        "weights averaged with the running merge, for evaluation",
        (PAPERS["temporal"],),
    ),
    "ft_merge": Preset("everything", "weights averaged with the base model, for evaluation", (PAPERS["temporal"],)),
    "offline_merge": Preset(
        "everything, in each task from the base model",
        "the average of all tasks' weights, for evaluation",
        (PAPERS["temporal"],),
    ),
    "lora_ema": Preset(
        "low-rank updates",
        "folded, then averaged with the running merge",
        (PAPERS["lora"], PAPERS["ema"], PAPERS["temporal"]),
    ),
}

"""Every method: the one list of them. A method is a preset, ``conf/method/NAME.yaml``, over parts that stand alone.

``fomo methods`` and the table in README.md are made from these rows. Nothing here imports torch.
"""

from typing import NamedTuple

from methods import papers
from methods.papers import Papers


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
    "locked_text": Preset("the image tower", papers=(papers.LOCKED,)),
    "locked_image": Preset("the text tower and the temperature", papers=(papers.LOCKED,)),
    "lnfit": Preset("the affine part of norm layers", papers=(papers.LNFIT,)),
    "bitfit": Preset("the biases", papers=(papers.BITFIT,)),
    "lora": Preset("low-rank updates of attention and MLP weights", papers=(papers.LORA,)),
    "dora": Preset(
        "low-rank updates of the direction of attention and MLP weights, and the length of their rows",
        papers=(papers.DORA,),
    ),
    "vera": Preset("vectors over one frozen random low-rank pair", papers=(papers.VERA,)),
    "ewc": Preset(
        "everything, held to what had large gradients in earlier tasks",
        "importance estimated",
        (papers.EWC, papers.ONLINE_EWC),
    ),
    "si": Preset(
        "everything, held to what brought the loss down in earlier tasks", "importance estimated", (papers.SI,)
    ),
    "l2": Preset("everything, held to the base model's weights", papers=(papers.L2_SP,)),
    "lwf": Preset("everything, distilled from the base model on the batch", papers=(papers.LWF,)),
    "zscl": Preset(
        "everything, distilled from the base model on pretraining data",
        "weights averaged along the task",
        (papers.ZSCL,),
    ),
    "galore": Preset("everything, by an optimizer in low-rank subspaces of the gradient", papers=(papers.GALORE,)),
    "ema_merge": Preset(
        "everything",
        "weights averaged with the running merge, which training goes on from",
        (papers.EMA, papers.TEMPORAL),
    ),
    "zs_merge": Preset(
        "everything, in each task from the base model",
        "weights averaged with the running merge, for evaluation",
        (papers.TEMPORAL,),
    ),
    "ft_merge": Preset("everything", "weights averaged with the base model, for evaluation", (papers.TEMPORAL,)),
    "offline_merge": Preset(
        "everything, in each task from the base model",
        "the average of all tasks' weights, for evaluation",
        (papers.TEMPORAL,),
    ),
    "lora_ema": Preset(
        "low-rank updates", "folded, then averaged with the running merge", (papers.LORA, papers.EMA, papers.TEMPORAL)
    ),
}

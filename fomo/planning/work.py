"""What a configuration asks of devices, from its row of the budget and its network's shapes."""

from collections.abc import Sequence

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fomo.budget.cost import TaskCost
from fomo.budget.flops import FlopMeter
from fomo.budget.memory import fake_copy
from fomo.config import factory
from fomo.config.schema import Config
from fomo.data.card import DatasetCard
from fomo.evaluation.cost import evaluation_cost
from fomo.evaluation.templates import prompts_in_use
from fomo.model.clip import ClipModel
from fomo.planning.scale import Scored, Work
from fomo.planning.table import BudgetRow


def work_of(config: Config, found: BudgetRow, strategy: str) -> Work:
    """The work of a configuration.

    Args:
        config: The configuration.
        found: Its row.
        strategy: How several processes take a step, ``ddp`` or ``fsdp``.
    """
    model = factory.model_shapes(config)
    plan = found.plans[config.num_tasks]
    is_timed = config.budget.unit == "wall_seconds"
    weights = sum(value.numel() * value.element_size() for value in model.network.state_dict().values())
    deploys = config.merging.get("deploy", "latest")
    phases = {name: float(flops.counted) for name, flops in found.step.items()}
    scored, embed_dim = _scored(config, model, plan.steps)
    return Work(
        step_flops=sum(phases.values()),
        forward_flops=phases.get("forward", 0.0),
        backward_flops=phases.get("backward", 0.0),
        run_flops=None if is_timed else float(sum(plan.flops(task) for task in range(1, config.num_tasks + 1))),
        run_seconds=config.budget.total if is_timed else None,
        num_steps=sum(plan.steps),
        num_tasks=config.num_tasks,
        batch_size=config.batch_size,
        micro_batch=config.runtime.micro_batch,
        grad_checkpointing=config.runtime.grad_checkpointing,
        strategy=strategy,
        sizes=found.cost.sizes,
        blocks=sum(isinstance(module, ResidualAttentionBlock) for module in model.network.modules()),
        embed_dim=embed_dim,
        state_bytes=_held(found.typical) + found.cost.sizes.optimizer_bytes + (deploys != "latest") * weights,
        weights_bytes=weights,
        keeps_experts=deploys == "all",
        scored=scored,
        keeps_weights=config.keep_weights == "all",
    )


def _held(cost: TaskCost) -> int:
    """Bytes of the network and of what parts hold."""
    return max(sum(held.values()) for held in cost.held.values()) if cost.held else 0


def scored_cards(config: Config) -> tuple[list[DatasetCard], int]:
    """The cards of the datasets that are evaluated and are here, and how many are not."""
    plan = factory.stream_plan(config)
    names = list(dict.fromkeys((*plan.adaptation, *plan.retention)))
    cards = [dataset.card for dataset in plan.datasets(names).values()]
    return cards, len(names) - len(cards)


def _scored(config: Config, model: ClipModel, steps: Sequence[int]) -> tuple[Scored, int]:
    """What evaluations encode, and the width of features."""
    cards, absent = scored_cards(config)
    image, text, width = tower_flops(model.network, model.image_size)
    cost = evaluation_cost(cards, config.evaluation, steps)
    num_texts = sum(_num_texts(card, config) for card in cards)
    return Scored(cost.in_full, num_texts, image, text, absent, cost.num_evaluations, cost.run_images), width


def _num_texts(card: DatasetCard, config: Config) -> int:
    """Prompts, or captions, of which every image is taken to have one."""
    if card.kind == "retrieval":
        return card.num_samples.get(config.evaluation.split, 0)
    return sum(map(len, prompts_in_use(card, config.evaluation.templates_used)))


def tower_flops(network: nn.Module, image_size: int) -> tuple[float, float, int]:
    """FLOPs of encoding an image and a text, and the width of their features; counted on fake tensors."""
    meter = FlopMeter()
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        towers = fake_copy(network, fake).eval()
        with meter("image"):
            features = towers.encode_image(torch.empty(1, 3, image_size, image_size))
        with meter("text"):
            towers.encode_text(torch.zeros(1, towers.context_length, dtype=torch.long))
    return float(meter.phases["image"].charged), float(meter.phases["text"].charged), features.shape[1]

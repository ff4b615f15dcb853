"""Peak memory on fake tensors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fomo.budget.memory import PeakMemory, cuda_kernels, fake_copy, mixed_precision
from fomo.model.shipped import pocket
from tests.fomo.budget import settings

GIB = 2**30


def test_what_lives_at_once_is_added_up_and_views_are_free() -> None:
    with FakeTensorMode(), PeakMemory() as memory:
        a = torch.empty(1024)  # 4096 bytes
        b = a + 1
        assert memory.live == 8192
        view = b.view(32, 32).T
        b.mul_(2)
        assert memory.live == 8192
        del b
        assert memory.live == 8192, "the view still holds it"
        del view
        assert memory.live == 4096 and memory.peak == 8192
        torch.empty(3)  # 12 bytes take a block of 512
        assert memory.peak == 8192
        c = torch.empty(4097 // 4 + 512)
        assert memory.live == 4096 + -(-4 * len(c) // 512) * 512


def test_a_linear_layer_by_hand() -> None:
    """At the peak, in the forward pass of the second step: weight, Adam's two moments, input and output of 128 rows."""
    with FakeTensorMode(), PeakMemory() as memory:
        layer = nn.Linear(128, 128, bias=False)
        memory.add(layer.weight)
        optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
        for _ in range(2):
            optimizer.zero_grad()
            inputs = torch.empty(128, 128)
            layer(inputs).sum().backward()
            del inputs
            optimizer.step()
    weight = 128 * 128 * 4
    assert memory.live == 4 * weight + 512, "the step counter of Adam is a block"
    blocks = memory.peak - 5 * weight
    assert 0 < blocks <= 4 * 512, "the step counter, the sum, its gradient"


def test_layer_norm_is_in_full_precision_as_cuda_takes_it() -> None:
    norm, linear, x = nn.LayerNorm(8), nn.Linear(8, 8), torch.randn(2, 8)
    with cuda_kernels(), mixed_precision():
        low = linear(x)
        assert low.dtype == torch.bfloat16 and norm(low).dtype == torch.float32
    with mixed_precision():
        assert norm(low).dtype == torch.bfloat16, "the function is put back"


def test_a_fake_copy_has_the_shapes_and_leaves_the_network_alone() -> None:
    network = pocket("pocket_resnet").network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        copied = fake_copy(network, fake)
        for parameter in copied.parameters():
            parameter.data.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) and copied.state_dict()[name].shape == value.shape
    assert not {id(p) for p in network.parameters()} & {id(p) for p in copied.parameters()}


# Roth et al. 2024: GiB as the driver shows them on an A100, context and cache included.
PUBLISHED_FULL = 46.5917


def test_published_memory() -> None:
    full = settings.full_fine_tuning(*settings.PUBLISHED).peak_bytes
    assert full == settings.cost(*settings.PUBLISHED).peak_bytes, "the reference is the preset finetune"
    assert full / GIB == pytest.approx(PUBLISHED_FULL, rel=0.1)


def test_checkpointing_trades_memory_for_flops() -> None:
    plain = settings.cost("model=ViT-S-32-alt", "batch_size=64", num_samples=[1])
    less = settings.cost("model=ViT-S-32-alt", "batch_size=64", "runtime.grad_checkpointing=true", num_samples=[1])
    assert less.peak_bytes < 0.85 * plain.peak_bytes
    step, more = plain.tasks[0].ordinary, less.tasks[0].ordinary
    assert step and more and more["forward"] == step["forward"]
    assert step["backward"].counted < more["backward"].counted < step["backward"].counted + step["forward"].counted


# Roth et al. 2024, and what a model of few layers may be beside it. Its text tower weighs more among activations.
@pytest.mark.parametrize(
    ("method", "published", "near"),
    [("ewc", 1.0132, 0.03), ("si", 1.0013, 0.03), ("lora", 0.8702, 0.03), ("locked_image", 0.2551, 0.12)],
)
def test_the_pocket_models_multipliers_are_near_the_published(method: str, published: float, near: float) -> None:
    sizes = ("model=pocket", "batch_size=512")
    full = settings.full_fine_tuning(*sizes).peak_bytes
    assert settings.cost(*sizes, f"method={method}").peak_bytes / full == pytest.approx(published, abs=near)


def laid_out(features: torch.Tensor, **given: torch.Tensor) -> tuple[int, ...]:
    """The order of dimensions, from the slowest to the fastest, in which attention of features to themselves lies."""
    with cuda_kernels():
        found = F.scaled_dot_product_attention(features, features, features, **given)
    return tuple(sorted(range(4), key=lambda at: -found.stride(at)))


def test_attention_lies_as_the_kernels_of_cuda_write_it() -> None:
    """[b, heads, n, d] of an input with n first, as ``nn.MultiheadAttention`` has it."""
    features = torch.randn(5, 2, 3, 4).permute(1, 2, 0, 3)  # n slowest, then b, heads, d
    mask = torch.zeros(5, 5)
    assert laid_out(features.bfloat16()) == (2, 0, 1, 3), "FlashAttention: as its input"
    assert laid_out(features.bfloat16(), attn_mask=mask.bfloat16()) == (0, 2, 1, 3), "no flash kernel takes a mask"
    assert laid_out(features) == (0, 2, 1, 3), "nor fp32"
    with cuda_kernels():
        found = F.scaled_dot_product_attention(features, features, features, attn_mask=mask)
    assert torch.equal(found, F.scaled_dot_product_attention(features, features, features, attn_mask=mask))

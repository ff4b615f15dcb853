"""Facts of machines that are not here."""

from fomo.doctor.facts import (
    Clock,
    Compute,
    Cpu,
    Disk,
    Driver,
    JobFacts,
    MachineFacts,
    Network,
    Package,
    ProcessLimits,
    Rate,
    Repeated,
)

GIB = 2**30

JOB = JobFacts(
    label="finetune on ViT-B-16",
    device="cuda",
    num_workers=4,
    num_datasets=60,
    batch_size=512,
    batch_bytes=512 * (3 * 224 * 224 + 8 * 77),
    weights_bytes=600 * 10**6,
    process_bytes=4 * GIB,
    peak_bytes=40 * GIB,
    checkpoint_minutes=5.0,
    num_steps=28_400,
    loading_seconds=0.1,
    step_seconds=0.3,
    step_flops=60 * 10**12,
)
H100 = Compute(
    device="cuda",
    name="NVIDIA H100 80GB HBM3",
    precision="bf16",
    matmul={"fp32": Rate(50e12, 66.9e12, "datasheet"), "bf16": Rate(700e12, 989.4e12, "datasheet")},
    copy=Rate(2.9e12, 3.35e12, "datasheet"),
    native_bf16=True,
    upload=Rate(50e9, 64e9, "datasheet"),
    free_bytes=79 * GIB,
)
CPU = Compute("cpu", "CPU", "fp32", {"fp32": Rate(2e11), "bf16": Rate(1e12)}, Rate(2e10), native_bf16=True)
NOW = 1.8e9
FACTS = MachineFacts(
    packages=(Package("python", "3.12.1", ">=3.10"), Package("torch", "2.9.1", ">=2.6")),
    driver=Driver("auto", "12.8", "12.8", 1, 1),
    cpu=Cpu(num_threads=16, num_allowed=16, quota=None, load=0.2),
    memory_bytes=120 * GIB,
    compute=H100,
    run_disk=Disk("/runs/a", 500 * GIB, write=1e9, read=2e9),
    cache_disk=Disk("/cache", 500 * GIB),
    limits=ProcessLimits(65_536, 2**20, 60 * GIB),
    network=Network("nccl", 1),
    clock=Clock(NOW, NOW - 5, "/runs/a/card.json", 0.0),
    job=JOB,
    repeated=(Repeated("matrix product", 900, 0), Repeated("training step", 40, 0)),
)
"""A machine on which everything is well."""

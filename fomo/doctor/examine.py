"""All checks, in the order in which they are shown."""

from fomo.doctor import machine, rates, room
from fomo.doctor.facts import JobFacts, MachineFacts
from fomo.doctor.verdict import Level, Verdict, judged


def examine(facts: MachineFacts) -> list[Verdict]:
    """The verdict of every check that applies to the machine and the job."""
    compute = facts.compute
    job = facts.job
    found = [
        machine.versions(facts.packages),
        machine.driver(facts.driver),
        machine.cpu_threads(facts.cpu, compute.on_gpu),
        machine.load(facts.cpu),
        *(rates.matmul(precision, compute) for precision in ("fp32", "bf16")),
        rates.bf16(compute),
        rates.copy(compute),
        rates.upload(compute.upload, compute) if compute.upload else None,
        machine.same_bits(facts.repeated),
        *(_of_job(facts, job) if job else [judged("job", "cannot start", "can be built", Level.RED, facts.refusal)]),
        rates.disk_speed(facts.run_disk, job),
        room.cache_space(facts.cache_disk),
        machine.network(facts.network),
        machine.clock(facts.clock),
    ]
    return [verdict for verdict in found if verdict is not None]


def _of_job(facts: MachineFacts, job: JobFacts) -> list[Verdict | None]:
    return [
        judged("job", f"{job.label}, {job.num_steps:,} steps", "can be built", Level.GREEN, ""),
        room.memory(facts.memory_bytes, job),
        room.gpu_memory(facts.compute, job),
        rates.step(facts.compute, job),
        rates.loading(job, facts.cpu.cores),
        room.shared_memory(facts.limits, job),
        room.open_files(facts.limits, job),
        room.disk_space(facts.run_disk, job),
    ]

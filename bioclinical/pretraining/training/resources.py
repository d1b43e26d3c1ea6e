"""What a run takes, by arithmetic: memory for weights, gradients and moments, and GPU-hours at a stated utilisation."""

GIGA = 1e9
BYTES_PER_WEIGHT = 4  # fp32, in every precision of a recipe; gradients and each of two moments as many
# Dense bf16 of an H100 SXM (NVIDIA's data sheet), and a share of it that large runs reach.
PEAK, PEAK_NAME, UTILISATION = 989e12, "H100", 0.4


def memory_per_process(weights: int, processes: int) -> dict[str, dict[str, float]]:
    """Gigabytes by part for whole copies (ddp) and shares (fsdp); activations and single gathered blocks come on top.

    DDP keeps the gradients a second time, in the buckets that it sends.
    """
    size = weights * BYTES_PER_WEIGHT / GIGA
    whole = {"weights": size, "gradients": size, "moments": 2 * size}
    return {"ddp": whole | {"buckets": size}, "fsdp": {part: value / processes for part, value in whole.items()}}


def gpu_hours(flops_per_token: float, tokens: float) -> float:
    """Hours of one GPU of PEAK at UTILISATION for forward and backward passes over so many tokens."""
    return flops_per_token * tokens / (PEAK * UTILISATION) / 3600


def resources_text(weights: int, processes: int, flops_per_token: float | None, tokens: float) -> str:
    """Both in words."""
    memory = memory_per_process(weights, processes)
    lines = [f"weights: {weights:,} trained, buffers and a teacher not counted"]
    for name, where in (("ddp", "a whole copy each"), ("fsdp", f"shared by {processes}")):
        parts = ", ".join(f"{part} {value:.2f}" for part, value in memory[name].items())
        lines.append(f"{name.upper()} ({where}): {sum(memory[name].values()):.2f} GB per process ({parts})")
    if flops_per_token is None:
        lines.append("GPU-hours: no formula for the operations of this network")
    else:
        hours = gpu_hours(flops_per_token, tokens)
        lines.append(
            f"GPU-hours: {hours:,.1f} for {tokens:,.0f} tokens of {flops_per_token:.3g} operations, at "
            f"{UTILISATION:.0%} of the {PEAK / 1e12:.0f} TFLOP/s of an {PEAK_NAME} in bf16"
        )
    return "\n".join(lines)

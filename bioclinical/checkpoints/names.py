"""Names of tensors in checkpoints -> the network they belong to and their name in Hugging Face's model."""

MAIN = "model"  # the network that start, evaluation and export speak of


def own_name(name: str) -> tuple[str, str]:
    """Of this project's checkpoints: the network's name, then Hugging Face's (`model.bert.encoder.layer.0...`)."""
    network, _, rest = name.partition(".")
    return network, rest


def flexbert_name(name: str) -> tuple[str, str]:
    """Of ModernBERT's training code: Composer's leading `model.` goes, `bert.encoder.` and `bert.` become `model.`."""
    name = name.removeprefix("model.")
    for prefix in ("bert.encoder.", "bert."):
        if name.startswith(prefix):
            return MAIN, "model." + name.removeprefix(prefix)
    return MAIN, name

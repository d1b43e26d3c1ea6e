"""Which option a model's scores choose, and accuracy, as lm-evaluation-harness defines acc, acc_norm and acc_bytes."""

from collections.abc import Sequence

NAMES = ("acc", "acc_norm", "acc_bytes")


def chosen(log_likelihoods: Sequence[float], options: Sequence[str]) -> dict[str, int]:
    """Position of the chosen option under each rule; the first of equals.

    log_likelihoods: natural logarithms, summed over the tokens of each option. acc compares the sums, acc_norm divides
    them by the option's characters, acc_bytes by its UTF-8 bytes; never by tokens.
    """
    lengths = {
        "acc": [1] * len(options),
        "acc_norm": [len(option) for option in options],
        "acc_bytes": [len(option.encode("utf-8")) for option in options],
    }
    return {
        name: first_of_largest([value / length for value, length in zip(log_likelihoods, lengths[name])])
        for name in NAMES
    }


def first_of_largest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda k: values[k])


def accuracy(gold: Sequence[int], predicted: Sequence[int]) -> float:
    """The share of equal positions (0-1)."""
    return sum(g == p for g, p in zip(gold, predicted)) / len(gold)


def longest_option(options: Sequence[str]) -> int:
    """A baseline's choice: the option of most characters, the first of equals."""
    return first_of_largest([len(option) for option in options])

"""Which option log-likelihoods choose."""

from bioclinical.metrics.choice import accuracy, chosen, longest_option

OPTIONS = ["flu", "influenza A", "a common cold virus"]


def test_golden_choice():
    assert chosen([-4, -6, -9], OPTIONS) == {"acc": 0, "acc_norm": 2, "acc_bytes": 2}


def test_bytes_differ_from_characters_and_the_first_of_equals_is_chosen():
    assert chosen([-4, -4.1], ["abcd", "βγδε"]) == {"acc": 0, "acc_norm": 0, "acc_bytes": 1}
    assert chosen([-2, -2], ["ab", "cd"]) == {"acc": 0, "acc_norm": 0, "acc_bytes": 0}
    assert longest_option(OPTIONS) == 2
    assert accuracy([0, 1], [0, 0]) == 0.5

"""The quickstart's last table."""

import pytest
from invented_results import identity, single_label_run, store, store_tokens

from scripts.quickstart_report import story_table


def test_story_has_each_tasks_official_metric(tmp_path):
    for model, share in (("tiny", 0.4), ("trained", 0.9)):
        store(tmp_path, model, share)
        store_tokens(tmp_path, model, 64)
    masked = {"somewhere/tiny": {"MaskedAccuracy": 0.01}, "elsewhere/trained": {"MaskedAccuracy": 0.5}}
    story = story_table(masked, tmp_path)
    assert list(story) == ["masked accuracy", "ChemProt micro_f1_2", "DEID f1"] and list(story.index) == [
        "tiny",
        "trained",
    ]
    runs = [single_label_run(identity(s, model="trained"), 0.9)[0]["metrics"]["test"]["micro_f1_2"] for s in (42, 43)]
    assert story.loc["trained", "ChemProt micro_f1_2"] == pytest.approx(100 * sum(runs) / 2)

"""The quickstart's last table."""

import pytest
from invented_results import identity, single_label_run, store, store_tokens

from bioclinical.report.story import tell


def test_story_has_each_tasks_official_metric_with_interval_and_p(tmp_path):
    for model, share in (("tiny", 0.4), ("trained", 0.9)):
        store(tmp_path, model, share, seeds=(42, 43, 44))
        store_tokens(tmp_path, model, 64)
    story = tell({"tiny": 0.01, "trained": 0.5}, tmp_path)
    assert list(story.text) == ["masked accuracy", "ChemProt micro_f1_2", "DEID f1"]
    assert list(story.text.index) == ["tiny", "trained", "difference"]
    runs = [single_label_run(identity(s, model=m), share)[0]["metrics"]["test"]["micro_f1_2"]
            for m, share in (("tiny", 0.4), ("trained", 0.9)) for s in (42, 43, 44)]  # fmt: skip
    before, after = 100 * sum(runs[:3]) / 3, 100 * sum(runs[3:]) / 3
    assert story.means["ChemProt micro_f1_2"].tolist() == pytest.approx([before, after])
    chemprot, deid = story.text["ChemProt micro_f1_2"], story.text["DEID f1"]
    assert chemprot["tiny"].startswith(f"{before:.2f} [") and chemprot["difference"].startswith(
        f"{after - before:+.2f} ["
    )
    assert ", p 0.0" in chemprot["difference"] or ", p <0.001" in chemprot["difference"]
    assert deid["difference"].endswith("p -"), "two seeds have no p"
    assert story.text["masked accuracy"].tolist() == ["1.00", "50.00", "+49.00"]

"""Hallmarks of Cancer: BLUE's and BLURB's releases have other abstracts and other scores, so they are two tasks."""

from bioclinical.tasks.corpora import hoc
from bioclinical.tasks.published import Published
from bioclinical.tasks.task import Task

BLURB = "Make it with Microsoft's data_generation.tar.gz (microsoft.github.io/BLURB) or our conversion (docs/data.md)"
LICENCE = "GPL-3 (the corpus)"
BLUE_SENTENCES = (10_527, 1_496, 2_896)
BLURB_SENTENCES = (12_119, 1_798, 3_547)
BLUE_LABELS = (
    (458, 71, 138), (148, 33, 45), (164, 14, 35), (213, 30, 52), (264, 34, 70), (563, 58, 150), (238, 39, 80),
    (596, 92, 145), (723, 86, 184), (346, 55, 119),
)  # fmt: skip

TASKS = [
    Task(
        name="HoC-BLURB",
        problem="multi_label_classification",
        reader=hoc.HocReader(),
        labels=hoc.LABELS,
        metric="abstract_micro_f1",
        selection_metric="abstract_micro_f1",
        folder="HoC-BLURB",
        source=BLURB,
        licence=LICENCE,
        published=Published(examples=BLURB_SENTENCES, groups=(1_295, 186, 371), others={"HoC-BLUE": BLUE_SENTENCES}),
    ),
    Task(
        name="HoC-abstracts",
        problem="multi_label_classification",
        reader=hoc.HocReader(whole_abstracts=True),
        labels=hoc.LABELS,
        metric="micro_f1",
        selection_metric="micro_f1",
        folder="HoC-BLURB",
        source=BLURB,
        licence=LICENCE,
        published=Published(examples=(1_295, 186, 371)),
    ),
    Task(
        name="HoC-BLUE",
        problem="multi_label_classification",
        reader=hoc.HocBlueReader(),
        labels=hoc.LABELS,
        metric="abstract_example_f1",
        selection_metric="abstract_example_f1",
        folder="HoC-BLUE",
        source="Get it from bert_data.zip of the BLUE_Benchmark GitHub release 0.1, folder hoc",
        licence=LICENCE,
        published=Published(
            examples=BLUE_SENTENCES,
            groups=(1_108, 157, 315),
            labels=dict(zip(hoc.LABELS, BLUE_LABELS, strict=True)),
            others={"HoC-BLURB": BLURB_SENTENCES},
        ),
    ),
]

"""The i2b2 challenges: concepts, events, protected health information, relations."""

from bioclinical.tasks.corpora import i2b2_2010, i2b2_xml
from bioclinical.tasks.published import Published
from bioclinical.tasks.task import Task

N2C2 = "Get the release '{}' from portal.dbmi.hms.harvard.edu (n2c2 data use agreement) and unpack it"
LICENCE = "n2c2 data use agreement (registration)"

TASKS = [
    Task(
        name="i2b2-2010",
        problem="token_classification",
        reader=i2b2_2010.ConceptReader(),
        labels=i2b2_2010.TAGS,
        folder="i2b2-2010",
        source=N2C2.format("2010 Relations Challenge"),
        licence=LICENCE,
        published=Published(groups=(152, 18, 256)),
    ),
    Task(
        name="i2b2-2012",
        problem="token_classification",
        reader=i2b2_xml.EVENT_READER,
        labels=i2b2_xml.EVENT_TAGS,
        folder="i2b2-2012",
        source=N2C2.format("2012 Temporal Relations Challenge"),
        licence=LICENCE,
    ),
    Task(
        name="i2b2-2014",
        problem="token_classification",
        reader=i2b2_xml.PHI_READER,
        labels=i2b2_xml.PHI_TAGS,
        folder="i2b2-2014",
        source=N2C2.format("2014 De-identification and Heart Disease"),
        licence=LICENCE,
    ),
    Task(
        name="i2b2-2010-RE",
        problem="single_label_classification",
        reader=i2b2_2010.RelationReader(),
        labels=i2b2_2010.RELATIONS,
        negative_label="false",
        selection_metric="micro_f1_8",
        folder="i2b2-2010",
        source=N2C2.format("2010 Relations Challenge"),
        licence=LICENCE,
        published=Published(
            examples=(None, None, 43_000),
            labels={
                label: (None, None, count)
                for label, count in zip(
                    i2b2_2010.RELATIONS, (1_448, 338, 2_060, 1_732, 342, 152, 112, 109, 36_707), strict=True
                )
            },
        ),
    ),
]

"""SocialHistory (MTSamples): the published types and their 51 tags; the files are brat pairs (brat.py)."""

from bioclinical.tasks.task import bio_tags

TYPES = (
    "Alcohol", "Amount", "Drug", "EnvironmentalExposure", "ExposureHistory", "Extent", "Family", "Frequency", "History",
    "InfectiousDiseases", "LivingStatus", "Location", "MaritalStatus", "MedicalCondition", "Method", "Occupation",
    "Other", "PhysicalActivity", "QuitHistory", "Residence", "SexualHistory", "Status", "Temporal", "Tobacco", "Type",
)  # fmt: skip

# The published list has I-LivingSituation without a B- tag, and B-PhysicalActivity without an I- tag.
INSIDE_TYPES = tuple(sorted({*TYPES, "LivingSituation"} - {"PhysicalActivity"}))
TAGS = tuple(f"B-{t}" for t in TYPES) + tuple(f"I-{t}" for t in INSIDE_TYPES) + ("O",)

STRICT_TYPES = tuple(sorted({*TYPES, "LivingSituation"}))
STRICT_TAGS = bio_tags(STRICT_TYPES)

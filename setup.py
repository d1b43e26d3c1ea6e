"""Which folders are packages; all else of the installation stands in pyproject.toml.

The scripts at the top and in pretraining_resources/ stay where they are and are installed as bioclinical_commands.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=["bioclinical", "bioclinical.*"]),
        "bioclinical_commands",
        "bioclinical_commands.pretraining",
    ],
    package_dir={"bioclinical_commands": ".", "bioclinical_commands.pretraining": "pretraining_resources"},
)

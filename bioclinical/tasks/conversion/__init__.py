"""Raw releases -> the files that tasks read; BLURB's corpora with BLURB's lists of ids.

Each converter takes the unpacked release and, where the split is BLURB's, the folder of its lists (`indexing` of
Microsoft's data_generation.tar.gz), and writes the task's files. `dataloader.py --check` holds their counts
against the published ones.
"""

from bioclinical.tasks.conversion import anatem, chemprot, ddi, ebm_nlp, genia, hoc, mmlu

# The task's folder -> what writes it.
CONVERTERS = {
    "AnatEM": anatem.convert,
    "JNLPBA": genia.convert,
    "PICO": ebm_nlp.convert,
    "DDI-BLURB": ddi.convert,
    "ChemProt-BLURB": chemprot.convert,
    "HoC-BLURB": hoc.convert,
    "MMLU": mmlu.convert,
}

"""Figure: fertility of several tokenizers on several corpora, side by side."""

from pathlib import Path

from bioclinical.files import atomic_path
from bioclinical.text.fertility import Fertility

PANELS = (
    ("tokens_per_word", "tokens per word (fewer is better)", 1.0),
    ("whole_share", "words kept whole, %", 100.0),
    ("characters_per_token", "characters per token", 1.0),
)


def draw_fertility(measured: dict[str, dict[str, Fertility]], path: Path) -> None:
    """Writes an image: a panel per measure, in each a group of bars per corpus, a bar per tokenizer.

    `measured` is corpus -> tokenizer -> Fertility, the same tokenizers everywhere.
    """
    from matplotlib.figure import Figure

    corpora = list(measured)
    tokenizers = list(measured[corpora[0]])
    width = 0.8 / len(tokenizers)
    figure = Figure(figsize=(max(6, 2.2 * len(corpora)), 2.4 * len(PANELS)), layout="constrained")
    for axis, (name, title, scale) in zip(figure.subplots(len(PANELS), 1), PANELS):
        for index, tokenizer in enumerate(tokenizers):
            heights = [scale * getattr(measured[corpus][tokenizer], name) for corpus in corpora]
            places = [place + (index - (len(tokenizers) - 1) / 2) * width for place in range(len(corpora))]
            bars = axis.bar(places, heights, width, label=tokenizer)
            axis.bar_label(bars, fmt="%.3g", fontsize=6)
        axis.set_xticks(range(len(corpora)), corpora, fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(tokenizers)), fontsize=8)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=150, format=path.suffix[1:])

"""Small models of the kinds that this repository trains, from a vocabulary of their own on real texts, per byte.

On each corpus's own share of held-out texts: RoBERTa, half of it distilled from the whole, the same half without a
teacher, and ELECTRA (its generator predicts tokens, its discriminator tells replaced ones). All see the same number of
tokens. What so few tokens teach is word frequencies; the study shows that the pieces work together and that models of
different vocabularies stand in one table, no more.

python benchmarks/corpus_study.py --texts clinical_notes.csv pubmed_abstracts.csv --work FOLDER --out FILE.json
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from streaming import MDSWriter

from bioclinical.checkpoints.export import export
from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.pretraining.compute import choose_compute
from bioclinical.pretraining.evaluation.passages import passages_of
from bioclinical.pretraining.evaluation.text_scores import HIDDEN_WORDS, Scorer
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.pretraining.training.run import run
from bioclinical.runtime import provenance
from bioclinical.text.tokenization import load_tokenizer
from bioclinical.text.train_tokenizer import TokenizerSettings, save_tokenizer, train_tokenizer

CONFIGS = Path(__file__).resolve().parents[1] / "pretraining_resources" / "configs" / "smoke"
LONGEST, HELD_OUT, VOCABULARY = 256, 20, 4000  # tokens of a document; every 20th text; entries
WIDTH = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 2, "num_hidden_layers": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="+", type=Path, required=True, help="CSV files with a column 'notes'")
    parser.add_argument("--work", type=Path, required=True, help="new folder for vocabularies, runs and models")
    parser.add_argument("--tokens", type=int, default=200_000, help="seen by each model (default: 200,000)")
    parser.add_argument("--scored", type=int, default=40, help="held-out texts of each corpus (default: 40)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    texts = {
        path.stem: pd.read_csv(path, usecols=["notes"], dtype=str)["notes"].dropna().tolist() for path in args.texts
    }
    training = [text for several in texts.values() for number, text in enumerate(several) if number % HELD_OUT]
    held_out = {name: several[::HELD_OUT][: args.scored] for name, several in texts.items()}
    started = time.process_time()
    models = train_all(training, args.work, args.tokens)
    record = {
        "command": f"python benchmarks/corpus_study.py --texts ... --work FOLDER --tokens {args.tokens}",
        "texts": {"training": len(training), "scored": {name: len(several) for name, several in held_out.items()}},
        "models": models,
        "scores": {name: scores(held_out, Path(model["folder"])) for name, model in models.items()},
        "processor_seconds": time.process_time() - started,
        "versions": provenance.installed_versions(), "hardware": provenance.hardware(),
        "git_commit": provenance.git_commit(),
    }  # fmt: skip
    for model in models.values():
        model["folder"] = Path(model["folder"]).name
    show(record)
    if args.out:
        write_json(args.out, record)


def train_all(texts: list[str], work: Path, tokens: int) -> dict[str, dict[str, Any]]:
    """name -> folder, weights, evaluation at the end and processor seconds of each model."""
    data = {family: prepare(family, texts, work / family) for family in ("roberta", "electra")}
    half = WIDTH | {"num_hidden_layers": WIDTH["num_hidden_layers"] // 2}
    whole = train("roberta", "roberta", data["roberta"], work / "roberta-whole", tokens, WIDTH)
    return {
        "RoBERTa": whole,
        "half, distilled": train("half", "distillation", data["roberta"], work / "half-distilled", tokens, half,
                                 {"objective.teacher": whole["folder"]}),
        "half, alone": train("half", "roberta", data["roberta"], work / "half-alone", tokens, half),
        "ELECTRA's generator": train("electra", "electra", data["electra"], work / "electra", tokens,
                                     WIDTH | {"embedding_size": 128}),
    }  # fmt: skip


def prepare(family: str, texts: list[str], folder: Path) -> Path:
    """A vocabulary of the family and the texts in its ids: folder/vocabulary, folder/train, folder/eval."""
    settings = TokenizerSettings(family, VOCABULARY)
    save_tokenizer(train_tokenizer(settings, lambda: texts), settings, folder / "vocabulary", [])
    ids = load_tokenizer(folder / "vocabulary")(texts, truncation=True, max_length=LONGEST)["input_ids"]
    for split, part in (("train", ids[200:]), ("eval", ids[:200])):
        with MDSWriter(out=str(folder / split), columns={"input_ids": "ndarray:uint16"}) as writer:
            for one in part:
                writer.write({"input_ids": np.array(one, np.uint16)})
    return folder


def train(name: str, recipe: str, data: Path, folder: Path, tokens: int, sizes: dict[str, int], changes=None):
    changes = {
        "data_local": data, "tokenizer_name": data / "vocabulary", "run_name": name, "save_folder": folder,
        "max_seq_len": LONGEST, "max_duration": f"{tokens}tok", "eval_interval": f"{tokens}tok",
        "save_interval": f"{tokens}tok", "console_log_interval": f"{tokens // 5}tok", "global_train_batch_size": 8,
        "device_train_microbatch_size": 8, "model.model_config.vocab_size": VOCABULARY, "load_path": "null",
        "optimizer.lr": 2e-3, **{f"model.model_config.{key}": value for key, value in sizes.items()}, **(changes or {}),
    }  # fmt: skip
    started = time.process_time()
    run(load_recipe(CONFIGS / f"{recipe}.yaml", [f"{key}={value}" for key, value in changes.items()]))
    seconds = time.process_time() - started
    out = folder.with_name(f"{folder.name}-hf")
    export(folder / "latest-rank0.pt", out, None, None, False)
    final = {
        key: value for record in read_metrics(folder) for key, value in record.items() if key.startswith("metrics/eval")
    }
    generator = out.with_name(f"{out.name}-generator")
    return {"folder": str(generator if generator.is_dir() else out), "processor_seconds": seconds, "evaluation": final}


def scores(held_out: dict[str, list[str]], folder: Path) -> dict[str, dict[str, float]]:
    """corpus -> the figures of hidden words."""
    found = {}
    for corpus, texts in held_out.items():
        scorer = Scorer(str(folder), passages_of(texts, 100, 0.15), choose_compute("cpu", "fp32", "auto"))
        one = scorer.score(HIDDEN_WORDS)
        weights = sum(tensor.numel() for tensor in scorer.model.parameters())
        figures = {"bits_per_byte": one.bits_per_byte, "nats_per_token": one.nats / one.tokens, "weights": weights}
        found[corpus] = vars(one) | figures
    return found


def show(record: dict[str, Any]) -> None:
    print("bits/byte of hidden words (nats/token)")
    for model, corpora in record["scores"].items():
        shown = "  ".join(
            f"{name} {one['bits_per_byte']:.3f} ({one['nats_per_token']:.2f})" for name, one in corpora.items()
        )
        print(f"{model:<22} {next(iter(corpora.values()))['weights']:>10,} weights  {shown}")


if __name__ == "__main__":
    run_cli(main)

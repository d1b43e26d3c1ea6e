"""Tiny random models with their own tokenizers, built in a second without any download: quickstart and tests.

python -m bioclinical.tiny_models --family modernbert --texts notes.csv --out DIR
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from bioclinical.errors import UserError, run_cli
from bioclinical.files import atomic_path
from bioclinical.text.tables import Format, TextReader

BERT_TOKENS = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "bos_token": "<s>",
    "eos_token": "</s>",
}
GPT2_TOKENS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
T5_TOKENS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
CONTEXT = 512


class Family(NamedTuple):
    """transformers' class names, the kind of sub-words, special tokens, and what the config needs besides its size."""

    config_class: str
    model_class: str
    tokenizer_class: str
    subwords: str
    special_tokens: dict[str, str]
    extra: Mapping[str, Any] = MappingProxyType({})


OFFSET_POSITIONS = {"max_position_embeddings": CONTEXT + 2}
RELATIVE_POSITIONS = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 32,
}
SMALL_EMBEDDING = {"embedding_size": 32}


def family(prefix: str, tokenizer_class: str, *rest: Any, head: str = "ForMaskedLM") -> Family:
    """A Family whose classes follow transformers' naming."""
    return Family(f"{prefix}Config", prefix + head, tokenizer_class, *rest)


FAMILIES = {
    "bert": family("Bert", "BertTokenizerFast", "wordpiece", BERT_TOKENS),
    "electra": family("Electra", "ElectraTokenizerFast", "wordpiece", BERT_TOKENS, SMALL_EMBEDDING),
    "roberta": family("Roberta", "RobertaTokenizerFast", "bytes", ROBERTA_TOKENS, OFFSET_POSITIONS),
    "longformer": family(
        "Longformer", "LongformerTokenizerFast", "bytes", ROBERTA_TOKENS, OFFSET_POSITIONS | {"attention_window": 32}
    ),
    "modernbert": family("ModernBert", "PreTrainedTokenizerFast", "bytes", BERT_TOKENS, {"classifier_pooling": "mean"}),
    "deberta-v2": family("DebertaV2", "DebertaV2TokenizerFast", "unigram", BERT_TOKENS, RELATIVE_POSITIONS),
    "albert": family("Albert", "AlbertTokenizerFast", "unigram", BERT_TOKENS, SMALL_EMBEDDING),
    "bigbird": family(
        "BigBird", "BigBirdTokenizerFast", "unigram", BERT_TOKENS, {"block_size": 16, "num_random_blocks": 1}
    ),
    "gpt2": family("GPT2", "GPT2TokenizerFast", "bytes", GPT2_TOKENS, head="LMHeadModel"),
    "t5": family(
        "T5", "T5TokenizerFast", "unigram", T5_TOKENS, {"decoder_start_token_id": 0}, head="ForConditionalGeneration"
    ),
    "bart": family("Bart", "BartTokenizerFast", "bytes", ROBERTA_TOKENS, head="ForConditionalGeneration"),
}


def build_tiny_model(
    name: str,
    texts: Iterable[str],
    folder: Path,
    seed: int = 0,
    vocab_size: int = 1024,
    hidden_size: int = 64,
    layers: int = 4,
) -> Path:
    """Trains a tokenizer of the family's kind on the texts, and saves it with a randomly initialised masked LM.

    Returns the folder, in Hugging Face layout. Raises UserError for an unknown family.
    """
    import torch  # slow, and not needed by who only asks for --help
    import transformers

    if name not in FAMILIES:
        raise UserError(f"unknown family '{name}'; known: {', '.join(FAMILIES)}")
    chosen = FAMILIES[name]
    backend = train_subwords(chosen.subwords, texts, chosen.special_tokens, vocab_size)
    tokenizer = getattr(transformers, chosen.tokenizer_class)(**tokenizer_options(chosen, backend))
    sizes = sizes_of(name, hidden_size, layers)
    config = getattr(transformers, chosen.config_class)(
        **{"vocab_size": len(tokenizer), **sizes, **token_ids(tokenizer), **chosen.extra}
    )
    torch.manual_seed(seed)
    model = getattr(transformers, chosen.model_class)(config)
    with atomic_path(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    return Path(folder)


def sizes_of(name: str, hidden_size: int, layers: int) -> dict[str, int]:
    """The config's entries of size. Encoder-decoders name them for each side, and T5 has no positions to count."""
    if name == "t5":
        return {
            "d_model": hidden_size, "d_ff": 2 * hidden_size, "d_kv": hidden_size // 2, "num_layers": layers,
            "num_heads": 2,
        }  # fmt: skip
    if name == "bart":
        both = {"layers": layers, "ffn_dim": 2 * hidden_size, "attention_heads": 2}
        sides = {f"{side}_{what}": size for side in ("encoder", "decoder") for what, size in both.items()}
        return {"d_model": hidden_size, "max_position_embeddings": CONTEXT, **sides}
    return {
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
    }


def token_ids(tokenizer: Any) -> dict[str, int | None]:
    """The config's entries of special tokens; language models call the first and last of a text by other names."""
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = {"pad_token_id": tokenizer.pad_token_id, "cls_token_id": first, "sep_token_id": last}
    if last is None:
        first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    return ids | {"bos_token_id": first, "eos_token_id": last}


def train_subwords(kind: str, texts: Iterable[str], special: dict[str, str], vocab_size: int) -> Tokenizer:
    """A tokenizer of one of the three kinds that models use, with the family's special tokens around each text."""
    tokens = list(dict.fromkeys(special.values()))
    if kind == "wordpiece":
        backend = Tokenizer(models.WordPiece(unk_token=special["unk_token"]))
        backend.normalizer = normalizers.BertNormalizer()
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=tokens, show_progress=False)
    elif kind == "bytes":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=tokens,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    else:
        backend = Tokenizer(models.Unigram())
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=vocab_size, special_tokens=tokens, unk_token=special["unk_token"], show_progress=False
        )
    backend.train_from_iterator(texts, trainer)
    if special is GPT2_TOKENS:
        return backend
    if special is T5_TOKENS:
        end = (special["eos_token"], backend.token_to_id(special["eos_token"]))
        backend.post_processor = processors.TemplateProcessing(f"$A {end[0]}", f"$A {end[0]} $B {end[0]}", [end])
        return backend
    cls, sep = special["cls_token"], special["sep_token"]
    ids = [(token, backend.token_to_id(token)) for token in (cls, sep)]
    if special is ROBERTA_TOKENS:
        backend.post_processor = processors.RobertaProcessing(ids[1], ids[0], add_prefix_space=False)
    else:
        backend.post_processor = processors.TemplateProcessing(f"{cls} $A {sep}", f"{cls} $A {sep} $B:1 {sep}:1", ids)
    return backend


def tokenizer_options(chosen: Family, backend: Tokenizer) -> dict[str, Any]:
    """What the family's own fast tokenizer class takes to stand around a trained backend."""
    options: dict[str, Any] = {"tokenizer_object": backend, "model_max_length": CONTEXT, **chosen.special_tokens}
    if chosen.tokenizer_class == "PreTrainedTokenizerFast":  # ModernBERT has no token types, as its own tokenizer says
        options["model_input_names"] = ["input_ids", "attention_mask"]
    if chosen.tokenizer_class == "T5TokenizerFast":
        options["extra_ids"] = 0  # a hundred marks of T5's pre-training
    return options


def main() -> None:
    parser = argparse.ArgumentParser(description="Build a tiny random encoder and its tokenizer.")
    parser.add_argument("--family", default="modernbert", choices=FAMILIES, help="default: modernbert")
    parser.add_argument("--texts", required=True, help=".csv, .tsv or .jsonl (also .gz) to train the tokenizer on")
    parser.add_argument("--text_column", default="notes", help="column with the text (default: notes)")
    parser.add_argument("--out", required=True, type=Path, help="folder to write; replaces a model that is there")
    args = parser.parse_args()
    require_replaceable(args.out)
    reader = TextReader(Path(args.texts), Format(text_column=args.text_column))
    texts = [row.text for row in reader.texts()]
    if not texts:
        raise UserError(f"'{args.texts}' has no text in the column '{args.text_column}'")
    build_tiny_model(args.family, texts, args.out)
    print(f"written: {args.out} (tiny random {args.family})")


def require_replaceable(folder: Path) -> None:
    """Raises UserError where something else than a model's folder would be replaced."""
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not is_empty and not (folder / "config.json").is_file():
        raise UserError(f"--out: '{folder}' exists and holds no model; choose another folder")


if __name__ == "__main__":
    run_cli(main)

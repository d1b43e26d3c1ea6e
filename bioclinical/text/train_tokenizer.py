"""Trains a tokenizer on texts: byte-level BPE, WordPiece or unigram, in the form of a model family.

Texts are read as they come, and the same texts give the same files bit for bit on any number of cores. Byte BPE is
repeatable as `tokenizers` trains it. Its WordPiece trainer numbers the pieces inside words in an order that changes
from process to process, so they are given to it in a fixed one; its unigram trainer cannot be made repeatable, and
sentencepiece, which ALBERT used, takes its place.
"""

import importlib.metadata
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from bioclinical.errors import UserError
from bioclinical.files import atomic_path, write_json
from bioclinical.text.tokenizer_families import ALGORITHMS, CONTINUATION, FAMILIES, Steps, steps_of, template
from bioclinical.text.word_counts import count_characters, count_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WORDPIECE_ALPHABET = 1000  # rarer characters make a word [UNK], as in BERT's vocabularies
UNIGRAM_COVERAGE = 0.99995  # of ALBERT's published command; rarer characters are unknown
# sentencepiece adds up one sum per thread, so their number (not that of the cores) is part of the result.
SENTENCEPIECE_THREADS = 16
# sentencepiece repeats a word as often as it is counted (110 bytes each): from larger corpora it gets a proportional
# sample, as ALBERT's vocabulary was learned from 10 million sentences.
MOST_OCCURRENCES = 10_000_000
PROVENANCE_FILE = "tokenizer_training.json"


@dataclass(frozen=True)
class TokenizerSettings:
    """What decides a vocabulary, besides the texts. None means the family's own."""

    family: str
    vocab_size: int
    algorithm: str | None = None
    lowercase: bool | None = None
    max_length: int | None = None
    min_frequency: int = 2

    def resolved(self) -> "TokenizerSettings":
        """The same with the family's choices filled in. Raises UserError for values that are not allowed."""
        if self.family not in FAMILIES:
            raise UserError(f"--family {self.family} is unknown; one of {', '.join(FAMILIES)}")
        family = FAMILIES[self.family]
        algorithm = self.algorithm or family.algorithm
        if algorithm not in ALGORITHMS:
            raise UserError(f"--algorithm {algorithm} is unknown; one of {', '.join(ALGORITHMS)}")
        special = len(set(family.roles.values()))
        smallest = special + (256 if algorithm == "bytebpe" else 64)
        if self.vocab_size < smallest:
            raise UserError(
                f"--vocab_size {self.vocab_size} is too small; {smallest} or more ({special} special tokens and "
                f"{'every byte' if algorithm == 'bytebpe' else 'the characters'})"
            )
        if self.min_frequency < 1:
            raise UserError(f"--min_frequency {self.min_frequency} is not allowed; 1 or more")
        lowercase = family.lowercase if self.lowercase is None else self.lowercase
        length = self.max_length or family.max_length
        return TokenizerSettings(self.family, self.vocab_size, algorithm, lowercase, length, self.min_frequency)


def train_tokenizer(settings: TokenizerSettings, texts: Callable[[], Iterable[str]]) -> Tokenizer:
    """A trained tokenizer with the family's special tokens and template.

    `texts()` starts reading anew; WordPiece reads twice. Raises UserError where the texts hold too little.
    """
    settings = settings.resolved()
    family = FAMILIES[settings.family]
    steps = steps_of(family, settings.algorithm, settings.lowercase)
    train = {"bytebpe": train_byte_bpe, "wordpiece": train_wordpiece, "unigram": train_unigram}[settings.algorithm]
    model = train(settings, steps, texts)
    add_last(model, family.last)
    empty = json.loads(Tokenizer(models.BPE()).to_str())
    backend = with_steps(Tokenizer.from_str(json.dumps(empty | {"model": model})), steps)
    backend.add_special_tokens(
        [special_token(settings.family, token) for token in dict.fromkeys(family.roles.values())]
    )
    backend.post_processor = template(backend, family, settings.algorithm)
    return backend


def special_token(family: str, token: str) -> AddedToken:
    """A special token that no training text can be cut into."""
    is_mask = token == FAMILIES[family].roles.get("mask_token")
    return AddedToken(token, special=True, normalized=False, lstrip=is_mask and FAMILIES[family].mask_takes_blank)


def train_byte_bpe(settings: TokenizerSettings, steps: Steps, texts: Callable[[], Iterable[str]]) -> dict[str, Any]:
    """Byte-level BPE: any text can be written, nothing is unknown."""
    family = FAMILIES[settings.family]
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size - len(family.last),
        min_frequency=settings.min_frequency,
        special_tokens=family.first,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return trained_model(models.BPE(), steps, trainer, texts)


def train_wordpiece(settings: TokenizerSettings, steps: Steps, texts: Callable[[], Iterable[str]]) -> dict[str, Any]:
    """WordPiece as BPE learns it, over the most frequent characters."""
    family = FAMILIES[settings.family]
    counts = count_characters(texts(), steps.normalizer)
    alphabet = sorted(counts, key=lambda character: (-counts[character], character))[:WORDPIECE_ALPHABET]
    # Punctuation and Chinese characters are words of their own and never continue one.
    joinable = [one for one in alphabet if len(steps.pre_tokenizer.pre_tokenize_str("a" + one)) == 1]
    trainer = trainers.WordPieceTrainer(
        vocab_size=settings.vocab_size - len(family.last),
        min_frequency=settings.min_frequency,
        # Given as special tokens, the pieces inside words get their numbers in this order.
        special_tokens=family.first + [CONTINUATION + character for character in joinable],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    unknown = family.roles["unk_token"]
    return trained_model(models.WordPiece(unk_token=unknown), steps, trainer, texts) | {"unk_token": unknown}


def trained_model(
    model: models.Model, steps: Steps, trainer: trainers.Trainer, texts: Callable[[], Iterable[str]]
) -> dict[str, Any]:
    """The model's part of tokenizer.json after training."""
    backend = with_steps(Tokenizer(model), steps)
    backend.train_from_iterator(texts(), trainer)
    return json.loads(backend.to_str())["model"]


def train_unigram(settings: TokenizerSettings, steps: Steps, texts: Callable[[], Iterable[str]]) -> dict[str, Any]:
    """Unigram language model over counted words, by sentencepiece. Raises UserError where that is not installed."""
    try:
        from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
    except ImportError as error:
        raise UserError("unigram vocabularies need sentencepiece; install it: pip install '.[vocabulary]'") from error
    family = FAMILIES[settings.family]
    words = sampled(count_words(texts(), steps.normalizer).counts)
    if not words:
        raise UserError("the texts hold no word to learn from")
    written = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in sorted(words.items())),
            input_format="tsv",
            model_writer=written,
            model_type="unigram",
            vocab_size=settings.vocab_size - len(family.last) - len(family.first) + 1,
            hard_vocab_limit=False,  # fewer where the texts hold no more
            character_coverage=UNIGRAM_COVERAGE,
            normalization_rule_name="identity",  # done already
            user_defined_symbols=list(family.separate_symbols),
            bos_id=-1,
            eos_id=-1,
            num_threads=SENTENCEPIECE_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise UserError("the texts hold too little for a unigram vocabulary; give more text") from error
    made = SentencePieceProcessor(model_proto=written.getvalue())
    learned = [[made.id_to_piece(i), made.get_score(i)] for i in range(len(made)) if not made.is_unknown(i)]
    vocabulary = [[token, 0.0] for token in family.first] + learned
    unknown = family.first.index(family.roles["unk_token"])
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": False}


def sampled(words: Counter[str]) -> dict[str, int]:
    """Counts in proportion, of MOST_OCCURRENCES at most in all; words that would not occur are left out."""
    factor = min(1.0, MOST_OCCURRENCES / max(1, words.total()))
    return {word: scaled for word, count in words.items() if (scaled := round(factor * count))}


def add_last(model: dict[str, Any], tokens: Iterable[str]) -> None:
    """Puts special tokens behind all other entries of a model's vocabulary, in place."""
    for token in tokens:
        if isinstance(model["vocab"], dict):
            model["vocab"][token] = len(model["vocab"])
        else:
            model["vocab"].append([token, 0.0])


def with_steps(backend: Tokenizer, steps: Steps) -> Tokenizer:
    """The same tokenizer with the steps around its model."""
    if steps.normalizer:
        backend.normalizer = steps.normalizer
    backend.pre_tokenizer, backend.decoder = steps.pre_tokenizer, steps.decoder
    return backend


def save_tokenizer(
    backend: Tokenizer, settings: TokenizerSettings, folder: Path, sources: list[dict[str, Any]]
) -> "PreTrainedTokenizerFast":
    """Writes a Hugging Face folder, complete or not at all, with a file that says what the vocabulary was made of.

    sources: what is known of each file of texts.
    """
    import transformers

    settings = settings.resolved()
    family = FAMILIES[settings.family]
    options: dict[str, Any] = {}
    name = "PreTrainedTokenizerFast"
    if settings.algorithm == family.algorithm:  # the family's class assumes its algorithm
        name = family.tokenizer_class
        options = {"do_lower_case": settings.lowercase} if settings.algorithm != "bytebpe" else {}
    roles = {role: special_token(settings.family, token) for role, token in family.roles.items()}
    tokenizer = getattr(transformers, name)(
        tokenizer_object=backend,
        model_max_length=settings.max_length,
        model_input_names=list(family.input_names),
        **roles,
        **options,
    )
    with atomic_path(folder) as partial:
        tokenizer.save_pretrained(partial)
        made_of = {"settings": asdict(settings), "entries": len(tokenizer), "texts": sources}
        trainer = "sentencepiece" if settings.algorithm == "unigram" else "tokenizers"
        made_of["trained_by"] = f"{trainer} {importlib.metadata.version(trainer)}"
        write_json(partial / PROVENANCE_FILE, made_of)
    return tokenizer

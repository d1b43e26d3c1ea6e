"""Which entries of an old vocabulary an entry of a new one is made of: the same text, else its pieces, else nothing.

Entries are compared by their text and by whether they begin a word, whatever marks the algorithms use for that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tokenizers import decoders, pre_tokenizers

from bioclinical.errors import UserError
from bioclinical.text.fertility import plain_backend
from bioclinical.text.tokenizer_families import CONTINUATION, WORD_START

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# A role's vector, where the old tokenizer lacks that role (GPT-2 has no [CLS], BERT no <s>).
STAND_INS = {
    "pad_token": "eos_token",
    "unk_token": None,
    "cls_token": "bos_token",
    "sep_token": "eos_token",
    "mask_token": None,
    "bos_token": "cls_token",
    "eos_token": "sep_token",
}
BLANK_BYTE = "\u0120"  # how byte-level vocabularies write a blank
# FOCUS, as published: fastText over the new tokens, then a sparse mixture of entries that both vocabularies have.
FOCUS_DIMENSIONS, FOCUS_EPOCHS, FOCUS_MIN_COUNT, FOCUS_SEED = 100, 3, 10, 42
# Hashed character n-grams; fastText's fixed 2 million would take 0.8 GB for any vocabulary.
FOCUS_BUCKETS_PER_ENTRY = 20
COMPARED_AT_ONCE = 1024


class Entry(NamedTuple):
    """An entry's text and whether it begins a word. Part of a character has no text: it keeps its byte alphabet."""

    text: str
    starts_word: bool
    is_bytes: bool = False


@dataclass
class Match:
    """New id -> the old ids it is made of, with weights of sum 1. `copied` have one old id of the same text or role."""

    sources: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    copied: set[int] = field(default_factory=set)


def kind_of(tokenizer: "PreTrainedTokenizerFast") -> str:
    """bytes, wordpiece or metaspace: how the entries mark words. Raises UserError for any other."""
    backend = tokenizer.backend_tokenizer
    model = type(backend.model).__name__
    if model == "WordPiece":
        return "wordpiece"
    if "ByteLevel" in f"{backend.pre_tokenizer} {backend.decoder}":
        return "bytes"
    if model == "Unigram" or "Metaspace" in f"{backend.pre_tokenizer} {backend.decoder}":
        return "metaspace"
    raise UserError(f"vocabularies of the kind {model} are not known here; bytes, WordPiece and unigram are")


def entry_of(token: str, kind: str) -> Entry:
    """The text of a vocabulary's token, without the marks of its algorithm."""
    if kind == "wordpiece":
        return Entry(token.removeprefix(CONTINUATION), not token.startswith(CONTINUATION))
    if kind == "metaspace":
        return Entry(token.removeprefix(WORD_START), token.startswith(WORD_START))
    starts = token.startswith(BLANK_BYTE)
    body = token.removeprefix(BLANK_BYTE)
    text = decoders.ByteLevel().decode([body]) if body else ""
    return Entry(body, starts, True) if "\ufffd" in text else Entry(text, starts)


def entries_of(tokenizer: "PreTrainedTokenizerFast") -> dict[int, Entry]:
    """id -> entry, special tokens left out."""
    kind, special = kind_of(tokenizer), set(tokenizer.all_special_ids)
    return {i: entry_of(token, kind) for token, i in sorted(tokenizer.get_vocab().items()) if i not in special}


def match_by_pieces(old: "PreTrainedTokenizerFast", new: "PreTrainedTokenizerFast") -> Match:
    """Entries of the same text or role are copied, others are the mean of the pieces the old tokenizer cuts them into.

    Both tokenizers as `load_tokenizer` gives them. What the old tokenizer cannot write without [UNK] is left out.
    """
    match = match_exactly(old, new)
    pieces = piece_finder(old)
    for i, entry in entries_of(new).items():
        if i not in match.copied and (found := pieces(entry)):
            match.sources[i] = [(piece, 1 / len(found)) for piece in found]
    return match


def match_exactly(old: "PreTrainedTokenizerFast", new: "PreTrainedTokenizerFast") -> Match:
    """Only entries of the same text, and special tokens of the same role."""
    match = Match()
    by_entry = {entry: i for i, entry in entries_of(old).items()}
    for i, entry in entries_of(new).items():
        if entry in by_entry:
            match.sources[i] = [(by_entry[entry], 1.0)]
    for role, stand_in in STAND_INS.items():
        target, source = (getattr(one, f"{role}_id") for one in (new, old))
        if source is None and stand_in:
            source = getattr(old, f"{stand_in}_id")
        if target is not None and source is not None and target not in match.sources:
            match.sources[target] = [(source, 1.0)]
    match.copied = set(match.sources)
    return match


def piece_finder(old: "PreTrainedTokenizerFast") -> Callable[[Entry], list[int]]:
    """The old ids that write an entry's text; none where the old tokenizer cannot."""
    kind, backend = kind_of(old), plain_backend(old)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def pieces(entry: Entry) -> list[int]:
        if entry.is_bytes:
            written = (BLANK_BYTE if entry.starts_word else "") + entry.text
            ids = [token.id for token in backend.model.tokenize(written)] if kind == "bytes" else []
        elif entry.starts_word or kind == "wordpiece":  # WordPiece cannot be asked for the inside of a word
            ids = backend.encode(entry.text, add_special_tokens=False).ids if entry.text else []
        else:
            text = backend.normalizer.normalize_str(entry.text) if backend.normalizer else entry.text
            if kind == "bytes":
                text = "".join(part for part, _ in to_bytes.pre_tokenize_str(text))
            ids = [token.id for token in backend.model.tokenize(text)]
        return [] if old.unk_token_id in ids else ids

    return pieces


def match_by_focus(old: "PreTrainedTokenizerFast", new: "PreTrainedTokenizerFast", texts: Iterable[str]) -> Match:
    """FOCUS: entries of the same text or role are copied, others mixed from those that the texts use alike.

    Likeness is the cosine of fastText vectors of the new tokens, learned on `texts`; the weights are its sparsemax over
    all shared entries. Entries too rare for a vector are left out. One process, so that the same texts give the same
    weights up to rounding. Source: Dobler and de Melo, FOCUS (2023). Raises UserError where gensim is missing or the
    texts hold too little.
    """
    try:
        from gensim.models import FastText
    except ImportError as error:
        raise UserError("--init_embeddings focus needs gensim; install it: pip install '.[vocabulary]'") from error
    match, names = match_exactly(old, new), {i: token for token, i in new.get_vocab().items()}
    sentences = [one.tokens for one in plain_backend(new).encode_batch(list(texts), add_special_tokens=False)]
    try:
        model = FastText(
            sentences,
            vector_size=FOCUS_DIMENSIONS,
            epochs=FOCUS_EPOCHS,
            min_count=FOCUS_MIN_COUNT,
            sg=1,
            seed=FOCUS_SEED,
            workers=1,
            bucket=FOCUS_BUCKETS_PER_ENTRY * len(new),
        ).wv
    except RuntimeError as error:
        raise UserError(f"the texts hold no token {FOCUS_MIN_COUNT} times, too little for focus; give more") from error
    vectors = model.get_normed_vectors()
    place = {i: model.key_to_index[token] for i, token in names.items() if token in model.key_to_index}
    shared = [i for i in match.copied if i in place and i not in new.all_special_ids]
    wanted = [i for i in place if i not in match.copied]
    if not shared:
        raise UserError("the two vocabularies share no entry that the texts use; use --init_embeddings mean")
    anchors = vectors[[place[i] for i in shared]]
    for at in range(0, len(wanted), COMPARED_AT_ONCE):
        part = wanted[at : at + COMPARED_AT_ONCE]
        for i, weights in zip(part, sparsemax(vectors[[place[i] for i in part]] @ anchors.T)):
            match.sources[i] = [(match.sources[shared[k]][0][0], float(weights[k])) for k in np.flatnonzero(weights)]
    return match


def sparsemax(scores: np.ndarray) -> np.ndarray:
    """The nearest point of the simplex for every row of scores (rows x n), most entries exactly 0.

    Source: Martins and Astudillo, From Softmax to Sparsemax (2016), algorithm 1.
    """
    ordered = -np.sort(-scores.astype(np.float64), axis=-1)
    sums = ordered.cumsum(axis=-1)
    counts = np.arange(1, scores.shape[-1] + 1)
    support = (1 + counts * ordered > sums).sum(axis=-1, keepdims=True)
    threshold = (np.take_along_axis(sums, support - 1, axis=-1) - 1) / support
    return np.maximum(scores - threshold, 0)

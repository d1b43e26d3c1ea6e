"""What a new tokenizer of each model family looks like: algorithm, special tokens and their places, template, class."""

from dataclasses import dataclass
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors

ALGORITHMS = ("bytebpe", "wordpiece", "unigram")
CONTINUATION = "##"  # WordPiece's mark of a piece inside a word
WORD_START = "\u2581"  # unigram's mark of a word's first piece

BERT_ROLES = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ROBERTA_ROLES = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "cls_token": "<s>",
    "sep_token": "</s>",
}
ALBERT_ROLES = BERT_ROLES | {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "[CLS]", "eos_token": "[SEP]"}
DEBERTA_ROLES = {
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
}
GPT2_ROLES = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
ALBERT_SYMBOLS = '()"-.\u2013\u00a3\u20ac'  # of its published sentencepiece command; never joined with neighbours
WITHOUT_TYPES = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Family:
    """A family's own choices. `last` are the special tokens that stand at the end of its vocabulary."""

    tokenizer_class: str
    algorithm: str
    roles: dict[str, str]
    max_length: int
    lowercase: bool = False
    last: tuple[str, ...] = ()
    separate_symbols: str = ""
    # "is <mask>" reads like "is pain": the mask takes the blank before it.
    mask_takes_blank: bool = False
    input_names: tuple[str, ...] = ("input_ids", "token_type_ids", "attention_mask")

    @property
    def first(self) -> list[str]:
        """The special tokens at the beginning of the vocabulary, in order of their ids."""
        return [token for token in dict.fromkeys(self.roles.values()) if token not in self.last]


FAMILIES = {
    "bert": Family("BertTokenizerFast", "wordpiece", BERT_ROLES, 512, lowercase=True),
    "electra": Family("ElectraTokenizerFast", "wordpiece", BERT_ROLES, 512, lowercase=True),
    "roberta": Family(
        "RobertaTokenizerFast",
        "bytebpe",
        ROBERTA_ROLES,
        512,
        last=("<mask>",),
        mask_takes_blank=True,
        input_names=WITHOUT_TYPES,
    ),
    "gpt2": Family(
        "GPT2TokenizerFast", "bytebpe", GPT2_ROLES, 1024, last=("<|endoftext|>",), input_names=WITHOUT_TYPES
    ),
    "albert": Family(
        "AlbertTokenizerFast",
        "unigram",
        ALBERT_ROLES,
        512,
        lowercase=True,
        separate_symbols=ALBERT_SYMBOLS,
        mask_takes_blank=True,
    ),
    "deberta-v2": Family("DebertaV2TokenizerFast", "unigram", DEBERTA_ROLES, 512, last=("[MASK]",)),
    "modernbert": Family(
        "PreTrainedTokenizerFast", "bytebpe", BERT_ROLES, 8192, mask_takes_blank=True, input_names=WITHOUT_TYPES
    ),
}


class Steps(NamedTuple):
    """What happens to a text before and after the model of a tokenizer."""

    normalizer: normalizers.Normalizer | None
    pre_tokenizer: pre_tokenizers.PreTokenizer
    decoder: decoders.Decoder


def steps_of(family: Family, algorithm: str, lowercase: bool) -> Steps:
    """Normalisation, cutting into words, and decoding."""
    if algorithm == "wordpiece":
        normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        return Steps(normalizer, pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(prefix=CONTINUATION))
    if algorithm == "unigram":
        quotes = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]  # ALBERT's own
        uncased = [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
        normalizer = normalizers.Sequence([*quotes, *(uncased if lowercase else [normalizers.NFKC()])])
        words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
        return Steps(normalizer, words, decoders.Metaspace())
    changes = [normalizers.NFC()] if family is FAMILIES["modernbert"] else []
    changes += [normalizers.Lowercase()] if lowercase else []
    normalizer = normalizers.Sequence(changes) if changes else None
    return Steps(normalizer, pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel())


def template(backend: Tokenizer, family: Family, algorithm: str) -> processors.PostProcessor:
    """What is put around one text and around two; the special tokens must be in the vocabulary."""
    if "cls_token" not in family.roles:  # GPT-2 adds nothing
        return processors.ByteLevel(trim_offsets=False)
    cls, sep = ((family.roles[role], backend.token_to_id(family.roles[role])) for role in ("cls_token", "sep_token"))
    if family.roles is ROBERTA_ROLES:
        return processors.RobertaProcessing(sep, cls, trim_offsets=algorithm == "bytebpe", add_prefix_space=False)
    single, pair = f"{cls[0]} $A {sep[0]}", f"{cls[0]} $A {sep[0]} $B:1 {sep[0]}:1"
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[cls, sep])

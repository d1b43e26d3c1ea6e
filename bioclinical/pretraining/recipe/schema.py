"""Every key of a pre-training recipe: type, default, range, the values that can be expressed, or why it has no effect.

The keys are those of ModernBERT's YAMLs, extended by `objective` and `model.architecture`. A loaded recipe is a
`Recipe`, made of the sections below. A new objective or architecture adds its section here and its name to OBJECTIVES
or ARCHITECTURES.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.pretraining.recipe.duration import Duration
from bioclinical.pretraining.recipe.keys import anchor, fixed, key, unused
from bioclinical.pretraining.recipe.masking_rate import MaskingSchedule
from bioclinical.pretraining.recipe.streams import Stream

LARGEST_SEED = 2**32 - 2**16  # NumPy takes 32 bits, and every process adds its number
WIDEST, LONGEST, MOST = 32_768, 1_048_576, 1_000_000
KERNEL = "the kernel is chosen at run time, or by model.attention_backend"
PACKED = "documents are always packed, never padded"


def share(default: float) -> Any:
    """A probability that is not 1."""
    return key(default, at_least=0, below=1)


def size(largest: int) -> Any:
    return key(at_least=1, at_most=largest)


# --- model ---


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """model.model_config of `architecture: modernbert`, in the words of ModernBERT's training code (FlexBERT)."""

    vocab_size: int = size(MOST * 10)
    hidden_size: int = size(WIDEST)
    intermediate_size: int = size(8 * WIDEST)
    num_hidden_layers: int = size(1024)
    num_attention_heads: int = size(1024)
    hidden_act: str = key("gelu")
    head_pred_act: str = key("gelu")
    head_pred_bias: bool = key(False)
    head_pred_dropout: float = fixed(0.0)
    head_pred_norm: bool = fixed(True)
    attention_layer: str = fixed("rope")
    attention_probs_dropout_prob: float = share(0.0)
    attn_out_bias: bool = key(False)
    attn_out_dropout_prob: float = share(0.0)
    attn_qkv_bias: bool = key(False)
    bert_layer: str = fixed("prenorm")
    decoder_bias: bool = key(True)
    embed_dropout_prob: float = share(0.0)
    embed_norm: bool = fixed(True)
    embedding_layer: str = fixed("sans_pos")
    encoder_layer: str = fixed("base")
    final_norm: bool = fixed(True)
    global_attn_every_n_layers: int = key(at_least=1, also=(-1,))
    init_cutoff_factor: float = key(2.0, above=0)
    init_method: str = fixed("full_megatron")
    init_small_embedding: bool = fixed(False)
    init_std: float = key(0.02, above=0)
    initial_attention_layer: str | None = fixed(None)
    initial_bert_layer: str | None = fixed(None)
    initial_mlp_layer: str | None = fixed(None)
    num_initial_layers: int | None = unused("there are no other initial layers")
    local_attn_rotary_emb_base: float = key(-1.0, above=0, also=(-1,), why="-1: as rotary_emb_base")
    local_attn_rotary_emb_dim: int | None = fixed(None)
    loss_function: str = fixed("cross_entropy", "fa_cross_entropy")
    loss_kwargs: dict[str, Any] = fixed({}, {"reduction": "mean"})
    masked_prediction: bool | None = unused("only masked positions ever reach the vocabulary")
    mlp_dropout_prob: float = share(0.0)
    mlp_in_bias: bool = key(False)
    mlp_layer: str = fixed("glu")
    mlp_out_bias: bool = key(False)
    normalization: str = fixed("layernorm")
    norm_kwargs: dict[str, Any] = key({})
    compile_model: bool = key(False)
    rotary_emb_base: float = key(10_000.0, above=0)
    rotary_emb_dim: int | None = fixed(None)
    rotary_emb_interleaved: bool = fixed(False)
    rotary_emb_scale_base: float | None = fixed(None)
    skip_first_prenorm: bool = fixed(True)
    sliding_window: int = key(at_least=2, at_most=LONGEST, also=(-1,), why="-1: every layer is global")
    activation_function: str | None = unused("hidden_act and head_pred_act decide")
    allow_embedding_resizing: bool | None = unused("vocab_size is taken as written")
    deterministic_fa2: bool | None = unused("seeds make a run repeatable as far as the kernels do")
    pad_logits: bool | None = unused(PACKED)
    padding: str | None = unused(PACKED)
    unpad_embeddings: bool | None = unused(PACKED)
    use_fa2: bool | None = unused(KERNEL)
    use_sdpa_attn_mask: bool | None = unused(KERNEL)


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """model.model_config of a padded encoder, in the words of its Hugging Face config; here BERT's.

    max_position_embeddings: null for as many as the longest document needs.
    """

    vocab_size: int = size(MOST * 10)
    hidden_size: int = size(WIDEST)
    intermediate_size: int = size(8 * WIDEST)
    num_hidden_layers: int = size(1024)
    num_attention_heads: int = size(1024)
    hidden_act: str = key("gelu")
    hidden_dropout_prob: float = share(0.1)
    attention_probs_dropout_prob: float = share(0.1)
    max_position_embeddings: int | None = key(None, at_least=4, at_most=LONGEST)
    type_vocab_size: int = key(2, at_least=0, at_most=MOST)
    initializer_range: float = key(0.02, above=0)
    layer_norm_eps: float = key(1e-12, above=0)


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(BertConfig):
    """Its positions are numbered from pad_token_id + 1, so that a table for 512 tokens has 514 rows."""

    type_vocab_size: int = key(1, at_least=1, at_most=MOST)
    layer_norm_eps: float = key(1e-5, above=0)


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    embedding_size: int = size(WIDEST)


@dataclass(frozen=True, kw_only=True)
class AlbertConfig(BertConfig):
    """num_hidden_groups: how many layers have weights of their own; all others repeat them."""

    hidden_act: str = key("gelu_new")
    hidden_dropout_prob: float = share(0.0)
    attention_probs_dropout_prob: float = share(0.0)
    embedding_size: int = size(WIDEST)
    num_hidden_groups: int = key(1, at_least=1, at_most=1024)
    inner_group_num: int = key(1, at_least=1, at_most=1024)


@dataclass(frozen=True, kw_only=True)
class DebertaV2Config(BertConfig):
    type_vocab_size: int = key(0, at_least=0, at_most=MOST)
    layer_norm_eps: float = key(1e-7, above=0)
    relative_attention: bool = key(True)
    position_biased_input: bool = key(False)
    pos_att_type: list[str] = key(["p2c", "c2p"])
    position_buckets: int = key(256, at_least=2, at_most=LONGEST, also=(-1,))
    max_relative_positions: int = key(-1, at_least=1, at_most=LONGEST, also=(-1,))
    share_att_key: bool = key(True)
    norm_rel_ebd: str = key("layer_norm", only=("layer_norm", "none"))


@dataclass(frozen=True, kw_only=True)
class Gpt2Config:
    """model.model_config of `architecture: gpt2`, in the words of Hugging Face's config."""

    vocab_size: int = size(MOST * 10)
    n_embd: int = size(WIDEST)
    n_layer: int = size(1024)
    n_head: int = size(1024)
    n_positions: int = key(1024, at_least=4, at_most=LONGEST)
    n_inner: int | None = key(None, at_least=1, at_most=8 * WIDEST)
    activation_function: str = key("gelu_new")
    resid_pdrop: float = share(0.1)
    embd_pdrop: float = share(0.1)
    attn_pdrop: float = share(0.1)
    layer_norm_epsilon: float = key(1e-5, above=0)
    initializer_range: float = key(0.02, above=0)

    @property
    def hidden_size(self) -> int:
        return self.n_embd


ARCHITECTURES = {
    "modernbert": ModernBertConfig,
    "bert": BertConfig,
    "roberta": RobertaConfig,
    "electra": ElectraConfig,
    "albert": AlbertConfig,
    "deberta-v2": DebertaV2Config,
    "gpt2": Gpt2Config,
}


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str | None = fixed(None, "flex_bert", why="model.architecture tells which network it is")
    architecture: str = fixed(*ARCHITECTURES)
    pretrained_model_name: str | None = unused("ModernBERT read another model's defaults; the config is complete")
    pretrained_checkpoint: str | None = fixed(None)
    tokenizer_name: str = key()
    gradient_checkpointing: bool = key(False)
    recompute_metric_loss: bool | None = unused("train metrics are never computed twice here")
    disable_train_metrics: bool | None = unused("no metric but the loss is computed while training")
    attention_backend: str = key("auto")
    model_config: ModernBertConfig | BertConfig | Gpt2Config = key(
        variants=ARCHITECTURES, selector="architecture", beside=True
    )


# --- objective ---


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Which tokens are chosen and what stands in their place; how many is said per loader: dataset.mlm_probability,
    dataset.mask_special_tokens.

    counting: independent (each token by itself) or as fairseq, bert or electra count them. Of the chosen tokens
    masked_share become [MASK], random_share a random token, the rest stays. whole_words: all tokens of a word, or of
    up to longest_ngram words in a row.
    """

    name: str = key()
    counting: str = key("independent", only=("independent", "fairseq", "bert", "electra"))
    masked_share: float = key(0.8, at_least=0, at_most=1)
    random_share: float = key(0.1, at_least=0, at_most=1)
    whole_words: bool = key(False)
    longest_ngram: int = key(1, at_least=1, at_most=16)


@dataclass(frozen=True, kw_only=True)
class MaskedTokens(Masks):
    """Predict the chosen tokens."""


@dataclass(frozen=True, kw_only=True)
class SentenceOrder(Masks):
    """Predict the chosen tokens, and whether the text's two halves stand in their order (ALBERT)."""


@dataclass(frozen=True, kw_only=True)
class NextToken:
    """Predict each token from those before it; with ModernBERT only its attention changes.

    boundaries: joined (documents behind each other, cut into rows of the model's length; attention crosses from one
    document into the next, as GPT-2 was trained) or isolated (each document as if it were alone).
    """

    name: str = key()
    boundaries: str = key("joined", only=("joined", "isolated"))


@dataclass(frozen=True, kw_only=True)
class ReplacedTokens(Masks):
    """A generator fills the chosen tokens, the model tells for every token whether it was replaced (ELECTRA).

    generator_size: the generator's share of the model's width (electra) or depth (modernbert). temperature: of drawing
    the fillings. The weights are those of the two losses.
    """

    counting: str = key("electra", only=("electra", "independent", "fairseq", "bert"))
    masked_share: float = key(0.85, at_least=0, at_most=1)
    random_share: float = key(0.0, at_least=0, at_most=1)
    generator_size: float = key(0.25, above=0, at_most=1)
    temperature: float = key(1.0, above=0)
    generator_weight: float = key(1.0, above=0)
    discriminator_weight: float = key(50.0, above=0)


@dataclass(frozen=True, kw_only=True)
class Distillation(Masks):
    """Learn from masked tokens, from a teacher's distribution over the vocabulary, and from its last hidden states.

    teacher: folder or hub id of a masked language model with the same vocabulary. The weights are those of the masked
    tokens' cross-entropy, of the divergence from the teacher at this temperature (times its square), and of 1 - cosine
    between the teacher's hidden states and a learned projection of the model's; 0 leaves a term out. kl_positions: all
    tokens, or the masked ones.
    """

    teacher: str = key()
    temperature: float = key(2.0, above=0)
    masked_tokens_weight: float = key(5.0, at_least=0)
    kl_weight: float = key(2.0, at_least=0)
    cosine_weight: float = key(0.0, at_least=0)
    kl_positions: str = key("all", only=("all", "masked"))


OBJECTIVES = {
    "masked_tokens": MaskedTokens,
    "next_token": NextToken,
    "replaced_tokens": ReplacedTokens,
    "distillation": Distillation,
    "sentence_order": SentenceOrder,
}


# --- data ---


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One MDS folder (local), or several (streams). mlm_probability: the share of tokens that are predicted."""

    local: str | None = key(None)
    streams: dict[str, Stream] = key({}, each=Stream)
    remote: str | None = fixed(None)
    split: str = key()
    tokenizer_name: str | None = unused("model.tokenizer_name is the tokenizer")
    max_seq_len: int = key(at_least=3, at_most=LONGEST)
    shuffle: bool = key(False)
    shuffle_seed: int = key(42, at_least=0, at_most=LARGEST_SEED)
    mlm_probability: float | MaskingSchedule | None = key(None, above=0, below=1, or_section=MaskingSchedule)
    mask_special_tokens: bool = key(False)
    streaming: bool = fixed(False)

    @property
    def folders(self) -> dict[str, Path]:
        """Where the documents are: of each stream by its name, or under "" of the only folder."""
        if self.streams:
            return {name: Path(one.local) / (one.split or self.split) for name, one in self.streams.items()}
        return {"": Path(self.local) / self.split}


@dataclass(frozen=True, kw_only=True)
class Loader:
    name: str = fixed("text")
    dataset: Dataset = key()
    drop_last: bool = key()
    num_workers: int = key(at_least=0, at_most=MOST)
    pin_memory: bool = key(True)
    prefetch_factor: int = key(2, at_least=1, at_most=1024)
    persistent_workers: bool | None = unused("workers live as long as the loader")
    timeout: float = key(0.0, at_least=0)
    sequence_packing: bool = key(False)
    packing_buffer_size: int | None = key(None, at_least=1)
    packing_prefetch_factor: int | None = unused("prefetch_factor counts whole packed batches")
    batch_size_warmup_min_size: int | None = key(None, at_least=1)
    batch_size_warmup_tokens: Duration | None = key(None)


# --- optimizer, schedule ---


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    name: str = fixed("decoupled_stableadamw", "stableadamw", "decoupled_adamw", "adamw", "uncorrected_adamw", "lamb")
    lr: float = key(above=0)
    betas: tuple[float, float] = key(at_least=0, below=1)
    eps: float = key(at_least=0)
    weight_decay: float = key(at_least=0)
    filter_bias_norm_wd: bool = key(False)
    log_grad_norm: bool | None = unused("the gradient norm is always computed; the log_grad_norm callback logs it")


@dataclass(frozen=True, kw_only=True)
class ConstantWithWarmup:
    name: str = key()
    t_warmup: Duration = key(fractions=True)
    t_max: Duration | None = unused("the schedule has no end")


@dataclass(frozen=True, kw_only=True)
class LinearDecayWithWarmup:
    name: str = key()
    t_warmup: Duration = key(fractions=True)
    alpha_f: float = key(0.0, at_least=0)


@dataclass(frozen=True, kw_only=True)
class LinearDecayTimesWarmup(LinearDecayWithWarmup):
    """ELECTRA's: the decay begins with the warm-up and multiplies it."""


@dataclass(frozen=True, kw_only=True)
class CosineWithWarmup(LinearDecayWithWarmup):
    pass


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay:
    name: str = key()
    t_warmup: Duration = key(fractions=True)
    alpha_f: float = key(0.0, at_least=0)
    t_decay: Duration = key("0.1dur", fractions=True)
    t_max: Duration | None = unused("always max_duration")


@dataclass(frozen=True, kw_only=True)
class OneMinusSqrt:
    name: str = key()
    t_decay: Duration = key("0.1dur", fractions=True)
    t_max: Duration = key("1dur", fractions=True)
    alpha_f: float = key(0.1, at_least=0)


Schedule = ConstantWithWarmup | LinearDecayWithWarmup | CosineWithWarmup | WarmupStableDecay | OneMinusSqrt
SCHEDULERS = {
    "constant_with_warmup": ConstantWithWarmup,
    "linear_decay_with_warmup": LinearDecayWithWarmup,
    "linear_decay_times_warmup": LinearDecayTimesWarmup,
    "cosine_with_warmup": CosineWithWarmup,
    "warmup_stable_decay": WarmupStableDecay,
    "one_minus_sqrt": OneMinusSqrt,
}


# --- callbacks, loggers, algorithms ---


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    pass


@dataclass(frozen=True, kw_only=True)
class SpeedMonitor:
    window_size: int = key(1, at_least=1)
    gpu_flops_available: float | None = key(None, above=0)


@dataclass(frozen=True, kw_only=True)
class ScheduledGC:
    batch_interval: int = key(100_000, at_least=1)


@dataclass(frozen=True, kw_only=True)
class LogGradNorm:
    batch_log_interval: int = key(10, at_least=1)
    log_optimizer_metrics: bool | None = unused("the gradient norm is all that is logged")


@dataclass(frozen=True, kw_only=True)
class PackingEfficiency:
    log_interval: int = key(10, at_least=1)


@dataclass(frozen=True, kw_only=True)
class GradientClipping:
    clipping_type: str = fixed("norm", "value")
    clipping_threshold: float = key(above=0)


CALLBACKS = {
    "speed_monitor": SpeedMonitor,
    "lr_monitor": NoOptions,
    "scheduled_gc": ScheduledGC,
    "log_grad_norm": LogGradNorm,
    "packing_efficiency": PackingEfficiency,
    "dataloader_speed": NoOptions,
    "memory_monitor": NoOptions,
    "runtime_estimator": NoOptions,
    "optimizer_monitor": NoOptions,
}
LOGGERS = {"wandb": None, "tensorboard": None, "file_logger": None}  # their own keyword arguments pass through
ALGORITHMS = {"gradient_clipping": GradientClipping}


# --- the whole recipe ---


@dataclass(frozen=True, kw_only=True)
class Fsdp:
    """Every process holds a share of the weights, gradients and moments (gpt2). Checkpoints are whole all the same."""

    sharding_strategy: str = fixed("FULL_SHARD")
    state_dict_type: str = fixed("full")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    data_local: str | None = anchor()
    data_remote: str | None = anchor()
    max_seq_len: int | None = anchor()
    tokenizer_name: str | None = anchor()
    mlm_probability: Any = anchor()
    run_name: str = key()
    seed: int = key(at_least=0, at_most=LARGEST_SEED)
    objective: MaskedTokens | NextToken | ReplacedTokens | Distillation | SentenceOrder = key(
        {"name": "masked_tokens"}, variants=OBJECTIVES
    )
    model: Model = key()
    train_loader: Loader = key()
    eval_loader: Loader | None = key(None)
    scheduler: Schedule = key(variants=SCHEDULERS)
    optimizer: Optimizer = key()
    freeze_layers: list[int] | None = key(None)
    max_duration: Duration = key(above=0)
    eval_interval: Duration = key(above=0)
    global_train_batch_size: int = size(MOST)
    global_eval_batch_size: int | None = key(None, at_least=1, at_most=MOST)
    device_train_microbatch_size: int = size(MOST)
    device_eval_batch_size: int | None = unused("follows from global_eval_batch_size")
    device_eval_microbatch_size: int | None = key(None, at_least=1, at_most=MOST)
    train_subset_num_batches: int = key(-1, at_least=1, also=(-1,), why="-1: all")
    eval_subset_num_batches: int = key(-1, at_least=1, also=(-1,), why="-1: all")
    count_padding_tokens: bool = key(True)
    precision: str = fixed("amp_bf16", "amp_fp16", "fp32")
    device: str | None = fixed(None, "cpu", "gpu")
    progress_bar: bool = key(False)
    log_to_console: bool = key(True)
    console_log_interval: Duration = key("1ba", above=0)
    python_log_level: str | None = key(None)
    callbacks: dict[str, Any] = key({}, parts=CALLBACKS)
    loggers: dict[str, Any] = key({}, parts=LOGGERS)
    algorithms: dict[str, Any] = key({}, parts=ALGORITHMS)
    save_folder: str = key()
    save_interval: Duration = key("1000ba", above=0)
    save_num_checkpoints_to_keep: int = key(-1, at_least=-1)
    save_overwrite: bool | None = unused("a run folder is continued with autoresume or refused, never overwritten")
    load_path: str | None = key(None)
    load_weights_only: bool = key(False)
    autoresume: bool = key(False)
    auto_resume: bool | None = unused("ModernBERT's recipes mention it in a comment; the key is autoresume")
    reset_time: bool = key(False)
    restart_override: bool = key(False)
    trust_checkpoint: bool = key(False)
    fsdp_config: Fsdp | None = key(None)
    compile_config: dict | None = fixed(None)
    init_from_checkpoint: dict | None = fixed(None)
    n_gpus: int | None = unused("counted at run time")
    device_train_batch_size: int | None = unused("follows from global_train_batch_size")

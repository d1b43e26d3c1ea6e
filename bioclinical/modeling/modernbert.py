"""Hugging Face's ModernBERT over packed documents: its own modules and weights, no padding, no mixing of documents."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from bioclinical.errors import UserError
from bioclinical.modeling.attention import plan_attention
from bioclinical.modeling.packing import pack, positions_in_documents, unpack
from bioclinical.modeling.rotary import rotary_table, rotate, rotated
from bioclinical.modeling.window import WHOLE_DOCUMENT, Window, causal
from bioclinical.text.labels import IGNORED_LABEL

PACKED_CLASSES = (
    "ModernBertModel",
    "ModernBertForMaskedLM",
    "ModernBertForSequenceClassification",
    "ModernBertForTokenClassification",
    "ModernBertForQuestionAnswering",
)


@dataclass(frozen=True)
class LayerKind:
    """What distinguishes one layer's attention from another's."""

    window: Window
    rope_theta: float


def layer_kinds(config: PretrainedConfig) -> list[LayerKind]:
    """The kind of each layer, from the config of either transformers line.

    transformers 5 writes `layer_types` and `rope_parameters`; 4.x keeps such keys unread and falls back to its
    defaults, so they are looked at first. Raises UserError for scaled rotary embeddings.
    """
    types = getattr(config, "layer_types", None) or [
        "sliding_attention" if layer % config.global_attn_every_n_layers else "full_attention"
        for layer in range(config.num_hidden_layers)
    ]
    reach = config.local_attention // 2
    kinds = {
        "full_attention": LayerKind(WHOLE_DOCUMENT, rope_theta(config, "full_attention")),
        "sliding_attention": LayerKind((reach, reach), rope_theta(config, "sliding_attention")),
    }
    return [kinds[layer_type] for layer_type in types]


def rope_theta(config: PretrainedConfig, layer_type: str) -> float:
    """Base of the rotary frequencies in layers of one type."""
    parameters = (getattr(config, "rope_parameters", None) or {}).get(layer_type)
    scaling = parameters or getattr(config, "rope_scaling", None) or {}
    if (rope_type := scaling.get("rope_type", "default")) != "default":
        raise UserError(f"rotary embeddings of type '{rope_type}' have no packed forward; use --attn sdpa")
    if parameters:
        return parameters["rope_theta"]
    local = config.local_rope_theta if layer_type == "sliding_attention" else None
    return config.global_rope_theta if local is None else local


def encode(
    encoder: PreTrainedModel,
    input_ids: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    backend: str,
    is_causal: bool = False,
    steps: "LayerSteps | None" = None,
) -> Tensor:
    """Hidden states (tokens, hidden) of a pack, as a ModernBertModel gives them for each document alone.

    input_ids: (tokens,). is_causal: no token sees those after it (global layers: all before it, local ones: itself and
    half the window before), as in the causal phase of arXiv 2605.12438; weights and positions are the same. steps: how
    the layers are computed around their attention (None: as they stand). Raises UserError for an empty pack and for
    documents longer than the model's positions.
    """
    config = encoder.config
    tokens = len(input_ids)
    if tokens == 0:
        raise UserError("the pack holds no tokens")
    if max_seqlen > config.max_position_embeddings:
        raise UserError(
            f"a document of {max_seqlen:,} tokens is longer than the model's {config.max_position_embeddings:,} "
            "positions; cut or split it"
        )
    kinds = layer_kinds(config)
    positions = positions_in_documents(cu_seqlens, tokens)
    head_dim = config.hidden_size // config.num_attention_heads
    tables = {kind: rotary_table(positions, kind.rope_theta, head_dim) for kind in set(kinds)}
    dtype = compute_dtype(encoder.layers[0].attn.Wqkv.weight)
    dropout = config.attention_dropout if encoder.training else 0.0
    plan = functools.partial(plan_attention, backend, cu_seqlens, tokens, max_seqlen, dtype=dtype, dropout=dropout)
    plans = {kind: plan(causal(kind.window) if is_causal else kind.window) for kind in set(kinds)}
    hidden = encoder.embeddings(input_ids)
    for layer, kind in zip(encoder.layers, kinds):
        run = functools.partial(run_layer, layer, attend=plans[kind], table=tables[kind], steps=steps or EAGER)
        checkpointed = encoder.gradient_checkpointing and encoder.training
        hidden = checkpoint(run, hidden, use_reentrant=False) if checkpointed else run(hidden)
    return encoder.final_norm(hidden)


def compute_dtype(weight: Tensor) -> torch.dtype:
    """The type in which a linear layer answers: autocast's where it is on, else the weights'."""
    device = weight.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return weight.dtype


@dataclass(frozen=True)
class LayerSteps:
    """The two parts of a layer around its attention, whose kernel and plan stay outside of what is compiled.

    before: (layer, hidden, cosine, sine) -> rotated qkv (tokens, 3, heads, head_dim).  after: (layer, hidden, context)
    -> hidden.
    """

    before: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
    after: Callable[[nn.Module, Tensor, Tensor], Tensor]


def run_layer(
    layer: nn.Module,
    hidden: Tensor,
    attend: Callable[[Tensor], Tensor],
    table: tuple[Tensor, Tensor],
    steps: LayerSteps,
) -> Tensor:
    """One pre-norm encoder layer, (tokens, hidden) -> (tokens, hidden)."""
    return steps.after(layer, hidden, attend(steps.before(layer, hidden, *table)))


def before_attention(layer: nn.Module, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """LayerNorm, projection, rotation."""
    return rotate(layer.attn.Wqkv(layer.attn_norm(hidden)), cos, sin)


def before_attention_fusible(layer: nn.Module, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The same without writing in place, for a compiler that fuses the rotation with what stands beside it."""
    return rotated(layer.attn.Wqkv(layer.attn_norm(hidden)), cos, sin)


def after_attention(layer: nn.Module, hidden: Tensor, context: Tensor) -> Tensor:
    """Output projection, residual, LayerNorm, gated MLP, residual."""
    hidden = hidden + layer.attn.out_drop(layer.attn.Wo(context.flatten(1)))
    return hidden + layer.mlp(layer.mlp_norm(hidden))


def after_attention_fusible(layer: nn.Module, hidden: Tensor, context: Tensor) -> Tensor:
    """The same with every addend of the residual's type.

    Under autocast inductor (torch 2.7) would make one operation of a bf16 product and an fp32 residual, which has none.
    """
    hidden = hidden + layer.attn.out_drop(layer.attn.Wo(context.flatten(1))).to(hidden.dtype)
    return hidden + layer.mlp(layer.mlp_norm(hidden)).to(hidden.dtype)


EAGER = LayerSteps(before_attention, after_attention)


def compiled_steps(backend: str | Callable = "inductor") -> LayerSteps:
    """Both parts compiled once for all layers and any number of tokens; all other sizes are constants of the code."""

    def compiled(part: Callable[..., Tensor]) -> Callable[..., Tensor]:
        fused = torch.compile(part, backend=backend)

        def call(layer: nn.Module, *tensors: Tensor) -> Tensor:
            for tensor in tensors:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
            return fused(layer, *tensors)

        return call

    return LayerSteps(compiled(before_attention_fusible), compiled(after_attention_fusible))


def mlm_loss(model: PreTrainedModel, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropy over the masked positions, in fp32, and their number.

    hidden (tokens, hidden) as from `encode`, labels (tokens,) with -100 where nothing is predicted. Only the masked
    positions reach the vocabulary. Without any, the sum is 0 and still has a gradient (zero), as DDP needs.
    """
    logits, wanted = masked_logits(model, hidden, labels)
    loss_sum = F.cross_entropy(logits.float(), wanted, reduction="sum")
    return loss_sum, torch.tensor(len(wanted), device=labels.device)


def masked_logits(model: PreTrainedModel, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (masked, vocabulary) and labels (masked,) of the positions that are predicted."""
    masked = (labels != IGNORED_LABEL).nonzero().flatten()
    return model.decoder(model.head(hidden[masked])), labels[masked]


def set_output_dropout(encoder: PreTrainedModel, probability: float) -> None:
    """Dropout after every attention output projection, which HF's config cannot ask for on its own."""
    for layer in encoder.layers:
        layer.attn.out_drop = nn.Dropout(probability)


def why_not_packed(model_class: type, config: PretrainedConfig) -> str | None:
    """None if models of this class and config can take the packed forward, else the reason why not."""
    if model_class.__name__ not in PACKED_CLASSES:
        return f"{model_class.__name__} has no packed forward (only ModernBERT has)"
    for output in ("output_hidden_states", "output_attentions"):
        if getattr(config, output, False):
            return f"the model's config asks for {output}, which the packed forward does not give"
    try:
        layer_kinds(config)
    except UserError as error:
        return str(error)
    return None


def use_packed_forward(model: PreTrainedModel, backend: str) -> None:
    """Makes a ModernBERT model compute its padded batches without the padding; inputs and outputs stay as they are.

    Only the encoder's forward is replaced: heads, losses and output classes remain transformers' own. Hidden states
    at padding are zero. Raises UserError where the model has no packed forward.
    """
    if reason := why_not_packed(type(model), model.config):
        raise UserError(reason)
    if model.config._attn_implementation == "flash_attention_2":
        # With it, transformers 4.5x takes the padding away itself, before the encoder is called.
        raise UserError("the packed forward needs a model loaded with attn_implementation 'sdpa' or 'eager'")
    encoder = model.base_model
    encoder.forward = functools.partial(forward_padded, encoder, backend)


def forward_padded(
    encoder: PreTrainedModel,
    backend: str,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    return_dict: bool | None = None,
    **others,
) -> BaseModelOutput | tuple[Tensor]:
    """ModernBertModel.forward on (rows, columns), computed on the tokens only."""
    others.pop("num_items_in_batch", None)  # for the loss; transformers 5 hands it to the encoder as well
    for name, value in others.items():
        if value is not None and value is not False:
            raise UserError(f"the packed forward does not take '{name}'; load the model with --attn sdpa for it")
    if input_ids is None:
        raise UserError("the packed forward needs input_ids; load the model with --attn sdpa for inputs_embeds")
    packed = pack(input_ids, attention_mask)
    hidden = unpack(encode(encoder, packed.input_ids, packed.cu_seqlens, packed.max_seqlen, backend), packed)
    return (hidden,) if return_dict is False else BaseModelOutput(last_hidden_state=hidden)

"""The compute path of ModernBERT over packed documents; the model itself stays Hugging Face's."""

from bioclinical.modeling.attention import BACKENDS, EXPERIMENTAL_BACKENDS, attention, plan_attention
from bioclinical.modeling.modernbert import encode, mlm_loss, set_output_dropout, use_packed_forward, why_not_packed
from bioclinical.modeling.packing import Pack, pack, unpack

__all__ = [
    "BACKENDS",
    "EXPERIMENTAL_BACKENDS",
    "Pack",
    "attention",
    "encode",
    "mlm_loss",
    "pack",
    "plan_attention",
    "set_output_dropout",
    "unpack",
    "use_packed_forward",
    "why_not_packed",
]

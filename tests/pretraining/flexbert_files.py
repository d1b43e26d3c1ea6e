"""Checkpoints in the published layout: FlexBERT's tensor names under Composer's keys. The weights are invented."""

from pathlib import Path

import torch

FLEX = {
    "vocab_size": 504, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2,
    "hidden_act": "gelu", "head_pred_act": "gelu", "head_class_act": "silu", "attention_layer": "rope",
    "attn_out_dropout_prob": 0.1, "bert_layer": "prenorm", "embed_norm": True, "embedding_layer": "sans_pos",
    "final_norm": True, "init_method": "full_megatron", "global_attn_every_n_layers": 3, "sliding_window": 128,
    "local_attn_rotary_emb_base": 10000.0, "rotary_emb_base": 160000.0, "loss_function": "fa_cross_entropy",
    "loss_kwargs": {"reduction": "mean"}, "mlp_layer": "glu", "normalization": "layernorm",
    "norm_kwargs": {"eps": 1e-5, "bias": False}, "skip_first_prenorm": True, "model_type": "flex_bert",
    "hidden_dropout_prob": 0.1, "max_position_embeddings": 512, "padding": "unpadded",
}  # fmt: skip


def flexbert_shapes(layers: int, hidden: int, inner: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes of FlexBertForMaskedLM, in the order of its parameters, with Composer's prefix."""
    shapes = {"bert.embeddings.tok_embeddings.weight": (vocabulary, hidden), "bert.embeddings.norm.weight": (hidden,)}
    for number in range(layers):
        layer = f"bert.encoder.layers.{number}"
        if number:
            shapes[f"{layer}.attn_norm.weight"] = (hidden,)
        shapes |= {
            f"{layer}.attn.Wqkv.weight": (3 * hidden, hidden), f"{layer}.attn.Wo.weight": (hidden, hidden),
            f"{layer}.mlp_norm.weight": (hidden,), f"{layer}.mlp.Wi.weight": (2 * inner, hidden),
            f"{layer}.mlp.Wo.weight": (hidden, inner),
        }  # fmt: skip
    shapes |= {
        "bert.final_norm.weight": (hidden,),
        "head.dense.weight": (hidden, hidden),
        "head.norm.weight": (hidden,),
    }
    return {f"model.{name}": shape for name, shape in shapes.items()} | {"model.decoder.bias": (vocabulary,)}


def flexbert_checkpoint(
    path: Path, shapes: dict, flex: dict | None = FLEX, lr: float = 3e-4, decayed: float = 1.0
) -> Path:
    """Writes a .pt file: state (model, optimizers, schedulers, timestamp, integrations ...) and rng."""
    generator = torch.Generator().manual_seed(1)
    model = {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in shapes.items()}
    for name in model:
        if "norm" in name:
            model[name] = model[name] + 1
    model["model.decoder.weight"] = model["model.bert.embeddings.tok_embeddings.weight"]  # one storage, two names
    state = {
        name: {"exp_avg": torch.full(shape, 1e-3), "exp_avg_sq": torch.full(shape, 1e-4), "eps_sq": torch.tensor(1e-12),
               "kahan_comp": None}
        for name, shape in shapes.items()
    }  # fmt: skip
    plain = [name for name, shape in shapes.items() if len(shape) == 1]
    group = {"lr": lr * decayed, "beta1": 0.9, "beta2": 0.98, "eps": 1e-6, "decouple_lr": True, "max_lr": 8e-4,
             "kahan_sum": False, "foreach": True, "gradient_release": False, "setup": True, "initial_lr": lr,
             "step": torch.tensor(52988, dtype=torch.int32)}  # fmt: skip
    groups = [{**group, "weight_decay": 0.0, "params": plain},
              {**group, "weight_decay": 1e-5, "params": [name for name in shapes if name not in plain]}]  # fmt: skip
    zero = dict.fromkeys(("iteration", "epoch", "sample", "epoch_in_iteration", "token_in_iteration", "batch_in_epoch",
                          "sample_in_epoch", "token_in_epoch"), 0)  # fmt: skip
    integrations = {"huggingface": {"model": {"config": {"file_extension": ".json", "content": flex}}}} if flex else {}
    content = {"state": {
        "model": model, "optimizers": {"StableAdamW": {"state": state, "param_groups": groups}},
        "schedulers": {"LambdaLR": {"base_lrs": [lr, lr], "last_epoch": 52988, "lr_lambdas": [None, None]}},
        "timestamp": {"Timestamp": zero | {"batch": 52988, "token": 250_000_000_000}}, "rank_zero_seed": 17,
        "run_name": "published", "integrations": integrations,
    }, "rng": [{"torch": torch.get_rng_state()}]}  # fmt: skip
    torch.save(content, path)
    return path

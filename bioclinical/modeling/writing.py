"""Writing a text after a prompt (causal models) or from a source (encoder-decoders), the same in every batch."""

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from bioclinical.runtime.quiet import only_errors_from_transformers
from bioclinical.text.labels import IGNORED_LABEL

# Ids that belong to a model, not to how it is searched; all else is decided by the options.
OWN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id")


def set_search(model: PreTrainedModel, pad_id: int, end_id: int | None, **search: int | float) -> PreTrainedModel:
    """The model, which from now on searches as `search` says and in no other way that its files may state.

    end_id: ends a causal model's text; an encoder-decoder has its own.  search: arguments of GenerationConfig.
    """
    if search["num_beams"] == 1:  # greedy: transformers saves no model whose search states what only beams use
        search = {name: value for name, value in search.items() if name != "length_penalty"}
    own = {name: getattr(model.generation_config, name, None) for name in OWN_IDS}
    own |= {"pad_token_id": pad_id} | ({} if end_id is None else {"eos_token_id": end_id})
    model.generation_config = GenerationConfig(**own, **search, do_sample=False)
    return model


def write(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None) -> Tensor:
    """(batch, length): the ids of what the model writes, without the prompt.

    input_ids: (batch, length), padded on the right; a causal model's may go on with the wanted text, which is where
    `labels` are not ignored and is left out.
    """
    if model.config.is_encoder_decoder:
        with only_errors_from_transformers():
            return model.generate(input_ids=input_ids, attention_mask=attention_mask, use_cache=True)[:, 1:]
    is_prompt = attention_mask.bool()
    if labels is not None:
        is_prompt &= labels == IGNORED_LABEL
    ids, mask = left_padded(input_ids, is_prompt, model.generation_config.pad_token_id)
    with only_errors_from_transformers():  # it takes a separator that is the padding token too for padding
        return model.generate(input_ids=ids, attention_mask=mask, use_cache=True)[:, ids.shape[1] :]


def left_padded(input_ids: Tensor, is_kept: Tensor, pad_id: int) -> tuple[Tensor, Tensor]:
    """The kept ids of each row at its right end, and which those are: a text is written after its prompt, not after
    padding. Both (batch, most kept ids)."""
    lengths = is_kept.sum(dim=1)
    longest = int(lengths.max())
    places = torch.arange(longest, device=input_ids.device)
    mask = places >= (longest - lengths)[:, None]
    ids = torch.full_like(mask, pad_id, dtype=input_ids.dtype)
    ids[mask] = input_ids[is_kept]
    return ids, mask.to(torch.long)

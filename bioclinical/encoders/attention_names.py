"""The names of the ways to compute an encoder's attention, for command lines: importing this imports no torch."""

# In the order of modeling.BACKENDS.
PACKED_BACKENDS = ("flash_attn_3", "torch_flash", "flash_attn_2", "flash_attn_4", "flex_attention", "banded_sdpa")
TRANSFORMERS_IMPLEMENTATIONS = ("sdpa", "eager", "flash_attention_2")
ATTENTION_CHOICES = ("auto", "packed", *(f"packed:{name}" for name in PACKED_BACKENDS), *TRANSFORMERS_IMPLEMENTATIONS)

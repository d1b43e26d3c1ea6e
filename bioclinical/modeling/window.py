"""How far a token sees in its own document: (tokens before it, tokens after it), None for all of them.

(None, None) is the whole document, (None, 0) causal, (64, 64) ModernBERT's local layers, (64, 0) their causal form.
"""

Window = tuple[int | None, int | None]
WHOLE_DOCUMENT: Window = (None, None)


def causal(window: Window) -> Window:
    """The same window without the tokens that come after."""
    return window[0], 0


def within(window: Window, longest: int) -> tuple[int, int]:
    """Both sides as numbers: no more than the others of the longest document, in tokens."""
    left, right = (longest - 1 if side is None else min(side, longest - 1) for side in window)
    return left, right


def kernel_sides(window: Window) -> tuple[int, int]:
    """As flash-attn's kernels take it, the edges included as ours: -1 for None."""
    left, right = (-1 if side is None else side for side in window)
    return left, right

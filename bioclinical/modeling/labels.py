"""The label of positions where nothing is predicted."""

IGNORED_LABEL = -100  # torch's cross-entropy skips it

"""The label of a token at which nothing is predicted."""

IGNORED_LABEL = -100  # the value that torch's cross-entropy and Hugging Face's collators skip

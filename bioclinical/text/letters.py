"""The case of words."""


def cased(new: str, like: str) -> str:
    """The new word in capitals or small letters where the old one was; else as it is."""
    if like.isupper() and len(like) > 1:
        return new.upper()
    return new.lower() if like.islower() else new

"""Names that people give to runs, heads and directions."""


def presentable(name: str, longest: int, whose: str) -> str:
    """The same name, or ValueError if it is too long or not fit to be shown.

    Args:
        whose: a name like this is, such as a head's.
    """
    if len(name) > longest:
        raise ValueError(
            f"This name has {len(name)} characters, and {whose} has at most {longest}: choose a "
            "shorter one."
        )
    if not name.isprintable():
        raise ValueError(
            "This name holds characters that cannot be shown: use letters, digits and spaces."
        )
    return name

"""Families of networks, for tests of what all share."""

from backbones.shelf import families


def lightest() -> tuple[str, ...]:
    """The member of each family that has the fewest parameters: enough to try what all share."""
    return tuple(
        min(specs, key=lambda spec: spec.parameters or 0).name for specs in families().values()
    )

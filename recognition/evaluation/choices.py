"""The names that an evaluation may be told."""

from enum import StrEnum


class Whitening(StrEnum):
    """How embeddings are whitened."""

    PCA = "pca"
    ZCA = "zca"

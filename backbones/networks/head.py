"""The head of networks that were made to classify: an average over the image."""

from torch import nn

from ..spec import BackboneSpec


def pooled_head(spec: BackboneSpec) -> nn.Sequential:
    """From the last feature map to an embedding.

    The average over the image is what such networks classify by. Where the spec asks for an
    embedding size, a linear layer and batch normalisation follow, for a trainer to fill with sense.

    Args:
        spec: Its last tap says what comes in, its `embedding_size` what comes out.

    Returns:
        A chain of layers, (B, C, H, W) → (B, D).
    """
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if spec.embedding_size is not None:
        layers.append(nn.Linear(spec.taps[-1].channels, spec.embedding_size, bias=False))
        layers.append(nn.BatchNorm1d(spec.embedding_size))
    return nn.Sequential(*layers)

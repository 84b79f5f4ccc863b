import dataclasses

import torch

from backbones.networks.head import pooled_head
from backbones.registry import spec_of


def test_without_a_size_it_is_the_mean_over_the_image() -> None:
    features = torch.rand(2, 512, 5, 7, generator=torch.Generator().manual_seed(0))
    found = pooled_head(spec_of("resnet18"))(features)
    torch.testing.assert_close(found, features.mean(dim=(2, 3)))


def test_with_a_size_it_is_projected_and_its_batch_normalised() -> None:
    spec = dataclasses.replace(spec_of("resnet18"), embedding_size=16)
    head = pooled_head(spec).train()
    out = head(torch.rand(32, 512, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert out.shape == (32, 16)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(16), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.var(dim=0, correction=0), torch.ones(16), rtol=0, atol=0.05)

import torch

from style.losses import Moments
from style.training.distances import feature_distance, gram_distance, gram_energy, gram_matrices


def test_a_map_is_at_no_distance_from_itself_and_its_mean_at_one():
    maps = torch.rand(3, 5, 8, 8)
    assert feature_distance(maps, maps) == 0
    means = maps.mean(dim=(0, 2, 3), keepdim=True).expand_as(maps)
    assert abs(float(feature_distance(means, maps)) - 1) < 0.02


def test_gram_matrices_are_those_of_the_painter_but_for_the_channels():
    maps = torch.rand(2, 5, 8, 7)
    for matrix, each in zip(gram_matrices(maps), maps, strict=True):
        torch.testing.assert_close(matrix, Moments.of(each.unsqueeze(0)).second)


def test_gram_distances_do_not_depend_on_the_maps_scale():
    maps, others = torch.rand(2, 5, 8, 8), torch.rand(2, 5, 8, 8)

    def distance(scale):
        wanted, found = gram_matrices(maps * scale), gram_matrices(others * scale)
        return gram_distance(found, wanted, gram_energy(maps * scale, wanted))

    torch.testing.assert_close(distance(1.0), distance(7.0))
    assert distance(1.0) > 0


def test_a_plain_picture_does_not_outweigh_the_others():
    maps = torch.rand(2, 5, 8, 8)
    maps[1] = 0.5
    others = maps + 0.01
    wanted = gram_matrices(maps)
    assert gram_distance(gram_matrices(others), wanted, gram_energy(maps, wanted)) < 1

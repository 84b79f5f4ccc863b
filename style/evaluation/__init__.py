"""How good a painted picture is, by a network that was not optimised.

judge      a picture beside its photograph and its style: Gram matrices, Wasserstein distances
paintings  many painted pictures, each beside its own photograph and styles; verdicts drawn
"""

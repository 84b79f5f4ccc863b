"""How good a painted picture is, by a network that was not optimised.

statistics  what is compared: Gram matrices, Wasserstein distances, self-similarity
judge       a picture beside its photograph and its style → Verdict
"""

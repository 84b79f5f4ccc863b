"""Smaller files of weights: pruned, with shared values, in codes of varying length.

S. Han, H. Mao, W. Dally: Deep Compression, 2016. A compressed file is an ordinary file of weights,
which `backbones.weights` reads back into the very float32 that were measured when it was written.

    file            tensors to what a compressed file holds, and back
    forms           what a tensor may be computed from, differentiable in its numbers: two narrow
                    matrices, a codebook of runs, numbers shared by a hash of their places
    shared_values   a tensor's numbers by a few values, found by k-means in one dimension
    huffman         symbols in codes whose length follows their frequency
    integers        int8: weights and inputs as integers of eight bits; OpenVINO
    retraining      the numbers of forms, trained; the network as it was is the teacher
"""

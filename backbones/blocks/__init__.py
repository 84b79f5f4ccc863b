"""What a network may be built with in place of its usual layers.

activation           rectifiers, exchanged for others
attention            what a feature map lets through: by channel, by place, or by likeness
binary               convolutions whose weights, or weights and inputs, are signs
convolutions         those that cost less than a dense one, or see further at the same cost
initialisation       what the weights begin with
normalisation        over which numbers mean and deviation are taken
pooling              what a window of cells becomes
spatial_transformer  a learned alignment before the network
"""

"""How the bundled style network and the decoder of drafts are made: recipes into weights.

config      a recipe, checked
pictures    photographs in memory; batches of crops, augmented, each by its number
distances   how far feature maps are from others, relative to what varies in them
distilling  a small network learns a larger one's feature maps
lessons     what the trainer asks of whatever is trained
state       where a run stands, in one file that is whole or absent
trainer     steps, validation, checkpoints; train() is the one call
card        the model card that a run writes
"""

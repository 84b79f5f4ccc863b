"""From a face found to numbers: align, embed, and how far they can be trusted.

alignment  faces upright and at one size, from five landmarks; from one alignment to another
embedding  aligned faces → unit vectors; several networks as one; crops; for a painter's gradient
pipeline   photographs → embeddings in one call, and the picture of a face that is kept
quality    how well a face can be recognised, as far as its picture tells
"""

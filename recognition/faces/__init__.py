"""From photographs to faces: detect, choose, align, embed."""

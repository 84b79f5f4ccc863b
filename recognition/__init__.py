"""Photographs → faces → embeddings → people; and how embeddings are trained and judged."""

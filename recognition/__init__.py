"""Photographs → faces → embeddings → people; and how embeddings are trained and judged."""

import data as data  # decides how threads wait, before torch is loaded

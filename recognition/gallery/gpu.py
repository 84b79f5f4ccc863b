"""FAISS on a GPU: a copy of an index that is searched there.

The index itself stays in the computer's memory: it is what is changed, written and read. The copy
is made anew after a change. FAISS's GPU indexes are not for several threads at once, not even for
reading: each copy has resources of its own, and is only used under its gallery's lock.
"""

from typing import Any

import faiss

_faiss: Any = faiss  # whose declared types lack some of what it has

MOST_ON_GPU = 2048
"""How many results a search on a GPU can have."""


def on_gpu(index: Any) -> Any:
    """Copy FAISS's index to the first GPU; None where there is none, or none for such an index."""
    if not _faiss.get_num_gpus():
        return None
    resources = _faiss.StandardGpuResources()
    try:
        copy = _faiss.index_cpu_to_gpu(resources, 0, index)
    except RuntimeError:  # the GPU's memory is full, or FAISS has no such index there
        return None
    copy.referenced_objects = [resources]
    return copy

"""The index of a gallery: a cache of its storage.

kinds       which kind of index fits a gallery of some size, and why
index       FAISS: the closest templates of a query
builder     a large index is trained, measured and made, in the background if need be
index_file  the index on disk, believed only where it fits the storage
searcher    one state of the storage with its index: who is closest
"""

"""The index of a gallery: a cache of its storage.

kinds         which kind of index fits a gallery of some size, and why
index         FAISS: the closest templates of a query
builder       a large index is trained, measured and made
background    that, in a thread of its own
index_file    the index on disk, believed only where it fits the storage
milvus        Milvus: its address, and a collection of vectors
milvus_index  the index of a gallery beyond one machine's memory, in Milvus
roll          which template is whose, followed from change to change
searcher      one state of the storage with its index: who is closest
"""

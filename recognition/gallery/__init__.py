"""Who is enrolled: people and their templates in SQL, searched through a FAISS index.

    gallery     the one class that callers see, kept in a folder or on a PostgreSQL server
    locations   where a gallery is, a folder or an address, and how it is opened
    templates   what is kept of a face, and which model's it is
    names       what may be a person's name
    storage/    the truth: every change one transaction, every question one state
    search/     the index: a cache of the truth, made again whenever it does not fit
    transfer/   what leaves and comes in: backups, exports, copies, another network's embeddings

Nothing here needs torch.
"""

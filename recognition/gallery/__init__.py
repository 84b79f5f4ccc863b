"""Who is enrolled: people and their templates in SQLite, searched through a FAISS index.

    names       what may be a person's name
    templates   what is kept of a face, and which model's it is
    schema      the database's tables
    database    one connection: transactions, and SQLite's errors as one line
    snapshot    one state of the truth: every question
    journal     what was done by hand, and how it is undone
    editing     what is done by hand: renaming, merging, splitting, undoing
    store       the truth: every change, each one transaction
    index       FAISS: the closest templates of a query
    cache       the index on disk, believed only when it fits the store
    matching    how a face is compared with a person of several photographs
    alike       who of those enrolled is alike
    view        one state of the store with its index: who is closest
    views       the newest of them, and the index kept for the next process
    gallery     the store and the index as one thing

Nothing here needs torch.
"""

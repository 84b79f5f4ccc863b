"""Who is enrolled: people and their templates in SQLite, searched through a FAISS index.

    names       what may be a person's name
    templates   what is kept of a face, and which model's it is
    schema      the database's tables
    database    one connection: transactions, and SQLite's errors as one line
    snapshot    one state of the truth: every question
    listing     what is told of people and photographs, a line each
    journal     what was done by hand, and how it is undone
    editing     what is done by hand: renaming, merging, splitting, undoing
    store       the truth: every change, each one transaction
    index       FAISS: the closest templates of a query
    kinds       which kind of index a gallery of some size has, and why
    training    what a large index is trained on
    measuring   how many lists of it a search looks into
    building    a large index is made, in the background if need be
    lineage     of which states an index on disk is good
    cache       the index on disk, believed only when it fits the store
    nearest     the closest templates, compared exactly
    matching    how a face is compared with a person of several photographs
    alike       who of those enrolled is alike
    apart       who is known not to be whom
    groups      who is in which group
    view        one state of the store with its index: who is closest
    following   which template is whose, from one state to the next
    views       the newest of them, and the index kept for the next process
    searching   galleries are searched, and their index is made
    gallery     the store and the index as one thing

Nothing here needs torch.
"""

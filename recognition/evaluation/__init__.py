"""How good recognition is, honestly: what the pairs cannot support is None, not a guess.

choices           the names that an evaluation may be told
metrics           figures of genuine and impostor comparisons, also weighted
intervals         how far a figure can be trusted: bootstrapped by identity
embeddings        photographs on disk → one embedding each, for every protocol
pairs             pairs compared and decided, and their figures
verification      LFW's and CFP's protocol: do two photographs show one person?
searches          probes searched among those enrolled
identification    open-set identification: who is it, if anyone; and what thresholds promise
error_rate_thresholds  thresholds for a wanted rate of false accepts
detection         how well a detector finds the faces that people have boxed
impostor_tail     how many strangers a search names, from the tail of impostor similarities
tail_measurement  that tail, from people whom a network never saw
probability       how likely two photographs show one person, from their similarity
whitening         embeddings decorrelated
specialists       a generalist that decides, and specialists that are asked where it is unsure
consultation      what asking them brings
plots             all of it, drawn
"""

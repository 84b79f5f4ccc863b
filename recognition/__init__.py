"""Photographs → faces → embeddings → people; and how embeddings are trained and judged.

service         what both front doors call: enrol, identify, verify, and what hangs on it
access          the way to one gallery: opened, locked, encrypted, tidied
people          who is enrolled, and what is done with them by hand
thresholds      from which similarity on two faces are one person's, and how many strangers pass
calibration     a gallery's own thresholds and probabilities, measured
enrolment       photographs of a person become templates, or are skipped with a reason
bulk_enrolment  many people's photographs: decoded ahead by processes, embedded in batches
explanation     which regions of two faces carry the verdict about them
identification  the faces of a photograph get a name each, or none
maintenance     galleries backed up, exported, checked, and moved to another network
matching        the rules by which a face is compared with somebody of several photographs
template_attention  these rules applied; a trained query that weighs photographs
attention_file  what was trained to weigh them, kept by the digest of a network's weights
models          which network embeds, where its weights are, and how they are loaded
tail_cards      what weights say of strangers: in their file, or on a card beside it
photographs     photographs as callers hand them in: read safely, named, looked at
results         what this wing answers: frozen values, without torch
secrets         where the passphrase or key of an encrypted gallery comes from
portraits       what a painter is told of the faces in a photograph
detection/      where the faces are
faces/          a face found → aligned → embedded, and how far it can be trusted
evaluation/     how good recognition is
learning/       a better embedding, trained
gallery/        who is enrolled, and who is closest to a face
"""

import data as data  # decides how threads wait, before torch is loaded

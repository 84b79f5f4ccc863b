"""The truth of a gallery: people and their templates in SQLite.

schema       the tables, and how a database of an older version becomes one of this
encryption   keys, and the ciphers
passphrases  how hard a passphrase is to guess
database     one connection: transactions, and SQLite's errors in one line
rows         which columns are sealed, and the door through which rows are read and written
audit        who did what when, in ids
people       rows of people: names, groups, consent, who is known not to be whom
snapshot     one state of the truth: every question
changes      enrolment, what is done by hand, erasure, and how each is undone
store        every change one transaction, with what went before and comes after it
records      everybody with all that is kept of them, read and put in
integrity    proofs that nobody without the key has altered it, and what is wrong with it
"""

"""The truth of a gallery: people and their templates in SQL, in a file or on a server.

schema       the tables, and how a database of an older version becomes one of this
encryption   keys, and the ciphers
passphrases  how hard a passphrase is to guess
link         what is asked of a connection, whichever kind of database it is
database     one connection to a file: transactions, and SQLite's errors in one line
databases    a file or a server, which of the two only its place says
rows         which columns are sealed, and the door through which rows are read and written
audit        who did what when, in ids
people       rows of people: names, groups, consent, who is known not to be whom
snapshot     one state of the truth: every question
changes      enrolment, what is done by hand, erasure, and how each is undone
store        every change one transaction, with what went before and comes after it
records      everybody with all that is kept of them, read and put in
postgres     one connection to a server: transactions, and errors in one line
postgres_address    where a server is, and how it is reached
postgres_schema     the tables and phrases in PostgreSQL's words
postgres_integrity  proofs that the rows of an encrypted gallery there are Likeness's own
contents     the rows of one gallery put into the database of another
integrity    proofs that nobody without the key has altered it, and what is wrong with it
"""

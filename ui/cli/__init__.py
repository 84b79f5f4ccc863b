"""The command line, `likeness …`.

start              the first moment of the process, before anything slow is imported
main               all commands put together; errors become one line and an exit code
arguments          what is refused before any command looks at it
options            options that every command takes
embedding_options  options of evaluations: how photographs become embeddings
style_words        what STYLE means: a file, or a preset
consent            options of what somebody agreed to
output             results on stdout, errors and progress on stderr
streams            stdout and stderr that are full, closed or gone
destinations       places to write to, checked before any work
confirmation       asking before what cannot be undone
passphrase         asking for a passphrase, unseen
painting           a picture, or a folder of them, painted
paintings          pictures that were painted before, `--like`
reference          writes docs/cli.md
commands           one module for the commands that belong together
"""

"""The two front doors, the command line and the page. Only here are errors caught and shown.

settings   what both are set to: data folder, gallery, network, device
wording    how numbers and strangers' text are put into words
audience   whom the page serves: the owner of this machine, or those whom a proxy signs in
portraits  people of a painted photograph: found by recognition, kept by style
cli        the command line
page       the Streamlit page and the server that only its owner reaches
jobs       long work that the page starts in the background
"""

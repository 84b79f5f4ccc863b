"""The Streamlit page, and the server that only its owner reaches.

server            Streamlit's application, told everything and told by nobody
gate              access: printed address, cookie, Host, Origin, content policy
connections       how long a connection may ask for nothing, or take nothing
limits            open pages, uploaded bytes, searches a minute
frontend          what of Streamlit runs in the browser, from memory
resources         what all sessions share: settings, service, list of networks
preloading        imports that take seconds, in a thread
navigation        the pages of the menu, in their order
session           what one session remembers between two runs
unlocking         the passphrase of an encrypted gallery, asked for once
language          the texts of the page, in one catalogue a language
components        refusals, pictures with face boxes, cards
browser           what runs in the browser: HTML, CSS, JavaScript
fields            pictures by upload or camera, thresholds
style_fields      fields of a picture that is to be painted, presets as small pictures
face_dialog       who a face is: enrol it, or take a wrong name from it
enrolment_report  what became of the photographs of an enrolment
corrections       undo, photographs, look-alikes; one person: name, groups, merging, deleting
pages             one file a page
"""

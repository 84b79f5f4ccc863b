"""The page asks once for the passphrase of an encrypted gallery, for all of its sessions."""

from typing import TYPE_CHECKING

import streamlit as st

from data.errors import AppError

from . import wording

if TYPE_CHECKING:
    from recognition.service import RecognitionService


def require_open(service: "RecognitionService") -> None:
    """Go on if the gallery can be read; otherwise show a form for its passphrase, and stop here."""
    if not service.is_locked:
        return
    st.title("The gallery is encrypted", anchor=False)
    st.caption(
        "What opens it is kept in this server's memory until the server ends, for everybody who "
        "can reach the page."
    )
    with st.form("unlock", width=420):
        secret = st.text_input("Passphrase or key", type="password", autocomplete="off")
        if st.form_submit_button("Open", type="primary"):
            try:
                service.unlock(secret)
            except AppError as error:
                st.error(wording.literal(str(error)), icon=":material/error:")
            else:
                st.rerun()
    st.stop()

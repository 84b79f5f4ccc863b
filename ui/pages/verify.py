"""Verify: whether two photographs show one person."""

from collections.abc import Sequence

import streamlit as st

from data.images import load_image
from recognition.results import Calibration, FailedImage, Use, Verification
from recognition.service import RecognitionService
from ui import components, fields, memory, resources, wording
from ui.components import Frame
from ui.fields import Upload


def page() -> None:
    """The whole page."""
    service = resources.recognition()
    components.page_head("Verify", "Whether two photographs show one person. Neither is kept.")
    verdict = st.container()
    left, right = st.columns(2, gap="large")
    with left:
        first = _photograph(service, "One photograph", key="first")
    with right:
        second = _photograph(service, "The other", key="second")
    settings = st.container()
    st.caption(
        "Where a photograph shows several faces, the largest counts. There is no liveness test: "
        "a photograph of a photograph counts as the person."
    )
    with components.refusals_shown():
        if not components.weights_at_hand(service):
            return
        with settings:
            calibration = components.calibration(service, Use.VERIFY)
            threshold = _threshold(service.threshold, calibration)
        if first and second and threshold is not None:
            with verdict, components.refusals_shown():
                components.verdict(_verify(service, (first, second), threshold, calibration))


def _threshold(of_weights: float | None, calibration: Calibration | None) -> float | None:
    """From which similarity on: out of the way where it was measured, in sight otherwise."""
    measured = of_weights if calibration is None else calibration.threshold
    with st.expander("Settings", icon=":material/tune:", expanded=measured is None):
        return fields.threshold(
            measured, key="verify-threshold", origin=wording.origin(calibration)
        )


def _photograph(service: RecognitionService, label: str, *, key: str) -> Upload | None:
    """A field for one photograph, which is shown with the face that counts."""
    given = fields.uploads(label, key=key)
    if not given:
        return None
    (upload,) = given
    with components.refusals_shown():
        components.picture_with_faces(
            load_image(upload.content),
            memory.remembered(key, upload.id, lambda: _frames(service, upload)),
            key=f"picture-{key}",
            description=upload.name,
        )
    return upload


def _frames(service: RecognitionService, upload: Upload) -> list[Frame]:
    """A box for each face; that of the one which counts stands out."""
    with components.at_work("Looking for faces"):
        (found,) = service.detect([upload.content])
    faces = () if isinstance(found, FailedImage) else found.faces
    return [
        Frame(box=face.box, tone="known" if number == 0 else "faint")
        for number, face in enumerate(faces)
    ]


def _verify(
    service: RecognitionService,
    pair: Sequence[Upload],
    threshold: float,
    calibration: Calibration | None,
) -> Verification:
    """Compare two photographs, once."""
    first, second = pair

    def verify() -> Verification:
        with components.at_work("Comparing"):
            return service.verify(first.content, second.content, threshold=threshold)

    return memory.remembered("verify", (first.id, second.id, threshold, calibration), verify)


page()

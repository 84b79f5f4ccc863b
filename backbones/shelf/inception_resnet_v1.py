"""Inception-ResNet-v1 as FaceNet's successor: the recogniser of facenet-pytorch."""

from ..spec import (
    SIGNED,
    Alignment,
    BackboneSpec,
    Tap,
    WeightsSource,
    falling_weights,
)

SPECS = (
    BackboneSpec(
        name="inception_resnet_v1",
        summary="Inception-ResNet-v1 as a face recogniser, 512 numbers a face",
        taps=(
            Tap("conv2d_2b", 64, 2, least=9),
            Tap("conv2d_4a", 192, 4, least=23),
            Tap("repeat_1", 256, 8, least=35),
            Tap("repeat_2", 896, 16, least=59),
            Tap("block8", 1792, 32, least=107),
        ),
        content_taps=("repeat_1",),
        style_taps=("conv2d_2b", "conv2d_4a", "repeat_1", "repeat_2"),
        style_tap_weights=falling_weights(4),
        input_size=(160, 160),
        alignment=Alignment.BOX,
        normalisation=SIGNED,
        embedding_size=512,
        weights=(
            WeightsSource(
                name="vggface2",
                url=(
                    "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
                    "20180402-114759-vggface2.pt"
                ),
                # Not stated by the publisher; several independent projects that pin the file agree.
                sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
                size=111_898_327,
                trained_on="VGGFace2",
                licence="MIT (facenet-pytorch); VGGFace2's own terms apply to its use",
            ),
        ),
        licence="MIT (facenet-pytorch)",
        paper=(
            "F. Schroff, D. Kalenichenko, J. Philbin: FaceNet, 2015; C. Szegedy et al.: "
            "Inception-v4, 2017"
        ),
        parameters=23_482_624,
    ),
)

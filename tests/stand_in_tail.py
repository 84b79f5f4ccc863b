"""What stand-ins for networks say of strangers: thresholds that are known beforehand."""

from recognition.evaluation.impostor_tail import ImpostorTail, Parameters


def step_tail(threshold: float, digest: str = "") -> ImpostorTail:
    """A tail so steep that any gallery and any rate above 1e-9 has that threshold, to 1e-6."""
    fit = Parameters(
        share=0.01,
        scale=1e-8,
        shape=0.0,
        probes=(-2.0, -0.4),
        photographs=(0.5, 0.2),
        mean=1.0,
        trimmed=1.0,
    )
    return ImpostorTail(
        quantiles=((0.5, threshold - 2e-6), (0.1, threshold - 1.5e-6), (0.01, threshold - 1e-6)),
        level=threshold - 1e-6,
        fits=(fit, fit),
        counted=1e-5,
        people=1000,
        photographs=2000,
        most_photographs=20,
        measured_on="people of a test",
        measured_at="2026-01-01T00:00:00+00:00",
        weights_sha256=digest,
    )

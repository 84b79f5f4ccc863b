"""One module a family of networks; importing this package registers them all."""

from . import mobilefacenet

__all__ = ["mobilefacenet"]

"""One module a family of networks, as `backbones.shelf` declares it; each has a `build`."""

"""What a network may be built with in place of its usual layers."""

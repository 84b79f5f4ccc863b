"""How good recognition is, honestly: what the pairs cannot support is None, not a guess."""

"""The commands of `likeness`, one module for those that belong together."""

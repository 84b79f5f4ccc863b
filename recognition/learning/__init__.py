"""Photographs of people → a better embedding: losses, batches, schedules and the trainer."""

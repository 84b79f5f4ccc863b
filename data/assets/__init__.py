"""What comes with the application: weights and pictures."""

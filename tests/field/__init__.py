"""No field of the API is without effect."""

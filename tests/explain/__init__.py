"""What becomes of a call, told from the policies alone."""

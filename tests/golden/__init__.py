"""Golden cases: a directory is an input and all that is made of it."""

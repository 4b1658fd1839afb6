"""A real control plane and a real mesh on one machine, without containers."""

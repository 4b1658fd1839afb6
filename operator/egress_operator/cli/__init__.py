"""The command `egressctl`."""

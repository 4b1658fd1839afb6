"""Random histories in virtual time: the controller beside a simulated API server."""

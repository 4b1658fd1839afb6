"""Faults at random points of a burst, and the rules that hold afterwards."""

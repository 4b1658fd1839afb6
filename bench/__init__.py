"""Measurements of the operator beside a raw client, on one control plane, in one run.

`make bench` prints a table. Figures are ratios or counts within the run wherever they can be: the
machine is noisy. Nothing here passes or fails.
"""

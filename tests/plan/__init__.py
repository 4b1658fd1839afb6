"""Tests of the plans, pure."""

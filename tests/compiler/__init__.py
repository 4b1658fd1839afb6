"""Tests of the compiler: pure, no cluster."""

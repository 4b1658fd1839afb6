"""Tests of statuses and events: pure, no cluster."""

"""The process: kopf, settings, metrics, probes and logs. Only here is kopf imported."""

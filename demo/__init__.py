"""The main job, shown on a real API server, a real istiod and real Envoys: `make demo`."""

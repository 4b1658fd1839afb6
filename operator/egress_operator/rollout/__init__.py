"""In which order objects are written: the next safe writes. Pure; knows nothing of plans."""

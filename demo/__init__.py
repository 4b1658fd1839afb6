"""The main job, shown on a real API server, a real istiod and real Envoys: `make demo`."""

import sys
from pathlib import Path

# So that `.venv/bin/python -m demo.call` works in any terminal, without make's PYTHONPATH.
sys.path.append(str(Path(__file__).parents[1] / "tests"))

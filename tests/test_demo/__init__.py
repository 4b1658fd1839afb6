"""The demo's own tests: what it prints and how it ends. The demo itself is run by the gate."""

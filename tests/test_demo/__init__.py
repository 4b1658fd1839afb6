"""The demo's own tests: what it prints and how it ends. CI plays the demo itself."""

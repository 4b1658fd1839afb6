"""The results of a plan, what was applied, and the time in; status and events out. Pure."""

"""Cache, plan, step, status: the one way through the operator. Clock and transport are injected."""

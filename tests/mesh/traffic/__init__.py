"""Traffic through real proxies, with the real operator between the policies and istiod."""

"""A simulated account: the real registration code on simulated time, quotas, queue and devices."""

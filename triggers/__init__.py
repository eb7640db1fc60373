"""Those who ask for runs: commits, timers, base images. Knows the service's store, and no runner."""

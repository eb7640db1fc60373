"""Those who ask for runs: commits, timers, base images. Empty until the issue that brings them."""

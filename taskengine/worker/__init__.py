"""A worker: takes runs from a service over its API only, carries them out, and reports all of it."""

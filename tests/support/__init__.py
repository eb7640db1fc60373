"""Real things for tests and benchmarks to run against: a Docker Engine and registries, none of it our code.

Must not know taskengine, runners or triggers."""

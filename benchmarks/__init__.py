"""What `make bench` measures. Each figure stands beside the raw engine's, taken in the same run, in turns."""

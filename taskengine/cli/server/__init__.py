"""The command line in front of a service: which server, quick runs there, stored tasks, tokens."""

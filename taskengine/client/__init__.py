"""The API of a service as Python functions: what the command line and workers speak to a server with."""

"""What `make demo` puts on a machine and `make down` takes away again: an engine where none answers, a registry, bases.

What was there before is used and never changed; .local/ remembers what is ours."""

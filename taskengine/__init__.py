"""The engine: what a task is, what will happen, what did happen. Knows no runner and no trigger."""

__version__ = "0.1.0"

"""What a person or a script sees of a run while it goes on, and at its end. Knows events and records, no runner."""

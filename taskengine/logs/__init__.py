"""What happens to a step's output on its way: masked, cut into lines, prefixed, kept. Knows bytes and step ids only."""

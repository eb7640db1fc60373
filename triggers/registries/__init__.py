"""What registries tell when an image was pushed: each product's payload read and its sender checked. Pure."""

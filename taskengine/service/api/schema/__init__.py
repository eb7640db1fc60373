"""What crosses the border of the API, as models: ACR's own names, strict enough that a mistake is told and not lost."""

"""The service over HTTP: routes, who may use them, and what crosses the border. Knows no SQL."""

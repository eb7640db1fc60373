"""The service: tasks and runs that are stored, a queue that is durable, and the API through which all of it is used."""

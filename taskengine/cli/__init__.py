"""The command line `acr-task`: one file a command. Nothing below this package imports it."""

"""The functions that templates may call, by theme. `catalog` knows them all; the others do not know each other."""

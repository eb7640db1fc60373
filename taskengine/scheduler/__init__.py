"""Carries a plan out: machine and attempts decide, the loop acts."""

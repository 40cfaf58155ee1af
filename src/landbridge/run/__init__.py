"""Carrying a plan out: the journal, the pure decisions, the acts, the engine, the lease and the observer."""

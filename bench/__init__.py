"""Measures CloudScale: the speed guard, the load, and the comparison with what one would use instead."""

"""The proof that nothing is lost: what was accepted, how it ended, and whether the two agree."""

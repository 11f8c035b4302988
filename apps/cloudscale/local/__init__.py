"""Runs a whole pipeline on this machine: plans its processes, starts them, and supervises them."""

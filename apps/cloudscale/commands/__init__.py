"""The commands of ``cloudscale``, one module for each.

A command imports what it works with when it is called: the Azure SDKs take a second to load and tens of megabytes, and
``cloudscale run`` stays in memory for as long as its pipeline runs.
"""

"""What a release takes: one version in all places, and the notes from the changelog.

It needs nothing but Python's own library, so that a workflow can run it in a bare checkout.
"""

"""The reference pages, made from the code when the site is built, so that they cannot say anything else."""

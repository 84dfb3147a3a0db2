"""Looks whether a backup would work before it is run: at the cluster, the store and the disk.

Nothing is made on the source cluster and no group is joined; in the archive at most one small object is written.
"""

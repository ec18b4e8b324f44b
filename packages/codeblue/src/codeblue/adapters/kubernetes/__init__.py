"""Kubernetes: the platform port, the lease and the way of a probe through the API server.

Objects stay raw JSON: a typed model would drop the fields that it does not know, and a template that lost a field is
another release. `api.py` talks and translates errors; the other files know one resource each.
"""

"""A platform for services on one plain machine, without containers or a cluster.

Replicas are processes that `supervisord` keeps, so they outlive a killed Code Blue. A small controller rolls them, a
small forwarder stands in front of them; both are supervised programs as well. What is wanted is in one state file
(`state.json`), which everybody changes under one lock; what is there is reported by the controller (`status.json`).
See docs/local-platform.md.
"""

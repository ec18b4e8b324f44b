"""Stand-ins for what the service depends on: OpenRouter, RxNorm, FHIR, a laboratory; one process, four mounts.

They answer, and refuse, what the originals answer and refuse, as far as the service and its operators see it. They
never import the service's own code, so that a mistake there is not repeated here.
"""

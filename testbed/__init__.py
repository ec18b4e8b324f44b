"""Real servers for the tests: a Kubernetes cluster, and the manifests that run on it.

Nothing here is part of the product, and nothing of the product is imported here: what a test measures with this
package does not depend on what the product says of itself.
"""

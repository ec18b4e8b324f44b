"""Code Blue: rollback and emergency response for a clinical AI service.

The package watches a service, decides, acts, proves the end state against the world and records all of it.
`docs/architecture.md` says which room a line belongs to; import-linter keeps the rooms apart.
"""

__version__ = "0.1.0"

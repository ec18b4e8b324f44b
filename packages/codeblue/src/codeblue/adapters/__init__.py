"""One adapter a file or folder, each keeping one port's contract. Adapters know neither each other nor any runbook."""

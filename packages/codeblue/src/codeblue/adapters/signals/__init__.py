"""Metrics turned into readings: scraped from pods, asked of Prometheus, told by the platform. Nothing here decides."""

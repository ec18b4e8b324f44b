"""What the daemon answers over HTTP. Calls no adapter: an alert or a person's click becomes an event in the record,
which the holder of the lease takes up.
"""

"""How a message in Redis makes a slot look for a job.

Anybody who may push into a queue could push anything, so messages are not trusted. A message that
is not a wake-up is dropped, and a payload is checked like a spec.
"""

"""Alerts and work orders 工单: what is true now, and the job that a person finishes."""

"""What a run tells while it goes on and afterwards: log, progress, metrics, curves."""

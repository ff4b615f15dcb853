"""What every part stands on: reading, writing, workers, signals, locks, devices. It knows nothing of the benchmark."""

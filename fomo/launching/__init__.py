"""Starting the runs of a sweep: here one after the other, several at a time, by Slurm, or by Ray."""

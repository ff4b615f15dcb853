"""Is the machine fit for a long job? MachineFacts are measured first; each check is a pure function of them."""

"""What takes an optimizer step: learner, methods, batches, and what is done about a step that is not finite."""

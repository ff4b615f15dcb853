"""From a configuration to its plan: rehearsal on fake tensors, and the steps that a budget affords."""

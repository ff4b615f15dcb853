"""What is learned, in which order, and mixed how: concepts, pools, mixture, batches."""

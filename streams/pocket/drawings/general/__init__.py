"""What the pretraining pool shows most: concepts that no dataset of the pocket uses."""

"""Making of the models: data preparation, losses and training loops."""

"""Networks: log-mel in, logits and an embedding of length one out."""

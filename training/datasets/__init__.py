"""One loader per published data set, each with its card at the top; all give the same records."""

"""The local page: listen, look and search in a browser."""

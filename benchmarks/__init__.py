"""Side-by-side measurements against other libraries, one command each."""

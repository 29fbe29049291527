"""What is measured of an exported model, through the engine alone: plain figures for its card and its page."""

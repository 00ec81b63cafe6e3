"""What is read off a surface that is there: motion, size, openings, agreement."""

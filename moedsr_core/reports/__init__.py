"""Tables and pictures of the papers, made again."""

"""Who may use a server, and how much: what stands in front of the routes."""

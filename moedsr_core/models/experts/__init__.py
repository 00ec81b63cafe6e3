"""The experts: implicit networks whose zero level set is the surface."""

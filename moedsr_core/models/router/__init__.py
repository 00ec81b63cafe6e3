"""The router: what a protein's surface says about how it will move."""

"""What the person taught."""

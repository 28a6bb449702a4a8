"""A platform event becomes a Request; a Reply becomes what the platform shows."""

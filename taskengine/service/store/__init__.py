"""What the service keeps, in SQLite or PostgreSQL. The only package that speaks SQL."""

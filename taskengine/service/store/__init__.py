"""What the service keeps, in SQLite or PostgreSQL. The only package that speaks SQL.

`Connection` is what its functions take: an open transaction. Others hand it through and call nothing on it.
"""

from sqlalchemy import Connection

__all__ = ["Connection"]

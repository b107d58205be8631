"""Journal back ends of the clearing house: an SQLite file or a PostgreSQL server; and a writer with its own thread."""

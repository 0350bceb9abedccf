"""The PostgreSQL body of a store: one database, a schema for each service, several instances.

connection speaks to the server, sessions says how, dialect translates, migrations make the tables,
store is the port, contents reads a schema through. Connection and sessions alone import psycopg.
"""

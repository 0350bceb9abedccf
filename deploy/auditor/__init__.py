"""The auditor: says from the evidence alone whether anybody was mailed twice, missed or forgotten.

It shares no code with the services nor with the SES sandbox, and needs nothing beyond Python, but
psycopg where ledger and frozen sets are in PostgreSQL.
"""

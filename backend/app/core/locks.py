"""The keys of advisory locks in the database: one for each purpose.

Two more stand elsewhere: 7305021002 in the migration of the event log, and 7305021007
in the inbox of the chassis, which may share the database.
"""

MIGRATIONS = 7305021001
RELAY = 7305021003
WEBHOOKS = 7305021004

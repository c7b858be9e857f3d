"""Knowledge in PostgreSQL: published from a folder by a command, read by all workers of all machines.

    address        DATABASE_URL: what may stand in it, what of it is secret
    measurements   its metrics
    connections    the one way to the database of a worker: deadlines, and callers who may leave at any time
    schema         the tables, made by migrations; what a server can work with
    rows           a passage as a row, with its vectors
    source         the bases and their rows as `bases.py` wants them
    on_demand      bases of which only some are in memory, where all of them are too many
    load_queue     which base is loaded next, and who waits for it
    snapshots      the rows of a base in a file: for a start without the database, and to fetch only what is new
    publishing     a folder's passages written as rows
    examination    what `flask db check` tells

Nothing of psycopg is imported by a server that has no DATABASE_URL. No ranking lives here: bases are loaded into the
indexes that a folder's bases have, too.
"""

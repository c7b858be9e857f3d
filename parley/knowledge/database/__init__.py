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
    publishing     a folder's passages written as rows (`written_rows`)
    examination    what `flask db check` and `flask doctor` tell

    sparse           terms and statistics of a base that is too large to be held
    search_indexes   its two indexes, made behind a publish
    searched_bases   what a server reads of it
    index            its search: candidates from the database (`query_vectors`, `statements`), ranked as in memory

Nothing of psycopg is imported by a server that has no DATABASE_URL. No ranking lives here: bases are loaded into the
indexes that a folder's bases have, too, or give candidates to the same ranking.
"""

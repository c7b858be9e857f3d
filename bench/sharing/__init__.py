"""The figures of servers that share a Redis and a database: what that costs, and what calls notice when one fails.

calls       callers, servers and the table that all parts use
cost        what limits over all workers add to a turn
faults      a Redis that is frozen or killed, Sentinel and a cluster that lose a master
counts      how many turns are admitted, and which places are left over
knowledge   a database that is published to, read and restarted under load
without     a worker that has neither
"""

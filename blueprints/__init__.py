"""HTTP: one blueprint an endpoint, shared glue in `web`. With app.py the only place that imports Flask."""

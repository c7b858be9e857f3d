"""Advice on the settings of the operation: callers, timeouts, limits, the playground and the log."""

from blueprints.cli.settings_advice.form import Advice, Group

CALLERS = Group(
    "Callers",
    "Who may send requests, and from where.",
    {
        "API_KEYS": Advice(
            "Keys that callers may present, as `Authorization: Bearer KEY` or as `x-api-key: KEY`. If it is unset, "
            "anybody who reaches the port may ask.",
            "Set it before the port can be reached by others: otherwise strangers spend your `LLM_API_KEY`. Use "
            "several keys in order to replace one without an interruption, or to limit each customer.",
        ),
        "CORS_ORIGINS": Advice(
            "Origins of web pages, apps and extensions that may call, such as `https://app.example.com`, "
            "`app://name` or `chrome-extension://ID`, compared exactly; `*` allows every page. "
            "`null` can't be listed: a sandboxed frame of any site has it.",
            "Set it only if a page calls Parley directly. Voice platforms call from servers and need no CORS.",
        ),
        "TRUSTED_HOSTS": Advice(
            "Names of this server whose own pages may call from a browser while `API_KEYS` is unset.",
            "Set it if you open a page of Parley's host by name without a key.",
        ),
        "TRUSTED_PROXIES": Advice(
            "Number of proxies in front of Parley whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
            "Set it to the number of proxies that you operate, in order to see callers' addresses in the log.",
        ),
    },
)

TIMEOUTS = Group(
    "Timeouts",
    "How long Parley waits, in seconds. Before the first word a timeout leads to another attempt; after it, to an "
    "error inside the stream.",
    {
        "CONNECT_TIMEOUT": Advice(
            "Time for one connection to an upstream: name, TCP and TLS.",
            "Raise it for a very distant upstream.",
        ),
        "TTFT_TIMEOUT": Advice(
            "Time to the first content of one attempt, to which a model's thoughts count, and to the first sound "
            "of a clause at a speech API.",
            "Raise it for models that think before they speak and hide their thoughts, and for voices that send "
            "a clause only when it is complete; for a model that is slow to load, see `WARM_MODEL`. The log line "
            "of a call that it ended names it.",
        ),
        "PRECOMMIT_TIMEOUT": Advice(
            "Time to the first content over all attempts together.",
            "Keep it above `TTFT_TIMEOUT`, or no second attempt is made after a silent one, and below the time "
            "after which your platform gives up.",
        ),
        "IDLE_TIMEOUT": Advice(
            "Longest silence inside an answer that has begun.",
            "Raise it if your model pauses in the middle of answers, for example to call tools of its own.",
        ),
        "STREAM_TIMEOUT": Advice(
            "Longest duration of one answer. It then ends with `finish_reason` `length`.",
            "Lower it to cap what one call can cost.",
        ),
        "HEARTBEAT": Advice(
            "Silence after which a stream that has begun gets a comment line, which clients ignore; 0 turns "
            "heartbeats off.",
            "Keep it below the idle timeout of every router and load balancer in front.",
        ),
        "GRACEFUL_TIMEOUT": Advice(
            "Time that open streams may run on after SIGTERM. Parley ends the remaining ones 2 seconds earlier.",
            "Keep it below the grace period of your hosting platform: [deploying.md](deploying.md#the-stop).",
        ),
    },
)

LIMITS = Group(
    "Limits",
    "Limits protect a worker and your budget. Each worker counts for itself.",
    {
        "MAX_STREAMS": Advice(
            "Requests that one worker answers at once; further ones get 503 `server_overloaded`.",
            "Lower it if a worker runs out of CPU time first: [scaling.md](scaling.md).",
        ),
        "MAX_STREAMS_PER_KEY": Advice(
            "Requests that one key may have open at once in a worker, with `REDIS_URL` in all workers of all machines; "
            "further ones get 429 `rate_limited`.",
            "Set it if several customers share a deployment.",
        ),
        "RATE_LIMIT": Advice(
            "Requests that one key may begin per `second`, `minute`, `hour` or `day` in a worker, with `REDIS_URL` in "
            "all workers of all machines; further ones get 429 `rate_limited`.",
            "Set it to cap what a leaked key can cost.",
        ),
        "REDIS_URL": Advice(
            "A Redis or Valkey through which all workers count `RATE_LIMIT` and `MAX_STREAMS_PER_KEY` together, and "
            "which can keep sessions (`MEMORY_STORE`) and embeddings (`EMBEDDINGS_CACHE`). While "
            "it is away, calls go on and each worker keeps to its share. It needs "
            "`pip install -r requirements-shared.txt`. "
            "In the query only `ssl_ca_certs` and `ssl_cert_reqs` may stand: time limits are Parley's own.",
            "Set it if limits or sessions must hold over several workers or machines: "
            "[scaling.md](scaling.md#limits-over-all-machines).",
        ),
        "REDIS_PREFIX": Advice(
            "Start of the names of all keys in Redis.",
            "Change it if two deployments share a Redis and must not share limits.",
        ),
        "REDIS_TIMEOUT": Advice(
            "Milliseconds that all questions to Redis before the first word of a call may take together. A call that "
            "has no answer by then is counted by its worker alone.",
            "Raise it if Redis is more than 5 ms away.",
        ),
        "LIMITS_WITHOUT_REDIS": Advice(
            "While Redis is away: `share` lets each worker admit the limit divided by the workers that were seen last, "
            "`open` admits everybody, `refuse` answers 503 `limits_unavailable`.",
            "`refuse` where a call above the limit costs more than a call that fails.",
        ),
        "MAX_BODY": Advice(
            "Largest request body in bytes; larger ones get 413 `request_too_large`.",
            "Raise it if requests carry images or recordings.",
        ),
        "SPARE_CONNECTIONS": Advice(
            "Idle connections that are kept open to each upstream, fallbacks included, so that as many "
            "simultaneous calls need no TLS handshake. Unset: 8 for `https://`, none for `http://`, where they "
            "save next to nothing and may hold the few threads of a small server; a number counts for both.",
            "Raise it to the number of calls that start in the same second; set 0 for an upstream that does not "
            "like idle connections.",
        ),
    },
)

OPERATION = Group(
    "Operation",
    "The playground and the log.",
    {
        "PLAYGROUND": Advice(
            "Who is served the page at `/playground`, on which the server can be tried and watched. `auto`: browsers "
            "of the machine itself that come through no proxy, and nobody where `PORT` is set, as hosting platforms "
            "do; `on`: everybody; `off`: nobody. Everybody else gets the 404 of a path that does not exist. What the "
            "page shows needs one of `API_KEYS`; if none is set, it is shown on the machine itself only.",
            "Set it to `on`, together with `API_KEYS`, to see the page of a deployed server: "
            "[playground.md](playground.md).",
        ),
        "CAPTURE": Advice(
            "Each worker keeps the last so many request bodies, and what was sent in answer to them, in its memory: at "
            "most 256 KiB of each, without keys. They are seen on the playground (Turns), and gone when the worker "
            "ends. Where nobody is served the playground, nothing is kept. The start and the page warn of it.",
            "Set it to 20 to see what a platform really sends, and to send it again; unset it afterwards, because "
            "callers' words are kept: [privacy.md](privacy.md).",
        ),
        "LOG_LEVEL": Advice(
            "Lowest level of the lines that are written.",
            "Set it to `warning` to lose the line of each request, or to `debug` for more detail. No level logs "
            "what callers say.",
        ),
        "LOG_FORMAT": Advice(
            "Form of a log line: `json` for machines, `text` for people.",
            "Set it if the choice by terminal does not fit.",
        ),
    },
)

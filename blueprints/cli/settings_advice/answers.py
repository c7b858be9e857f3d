"""Advice on the settings of the answers: the model, tools, knowledge and audio."""

from blueprints.cli.settings_advice.form import Advice, Group

MODEL = Group(
    "Model",
    "The upstream: the OpenAI-compatible API that writes the answers.",
    {
        "LLM_API_KEY": Advice(
            "Parley sends this key to the upstream as `Authorization: Bearer`.",
            "Set it for every real deployment. Without it and without `LLM_BASE_URL` the embedded demonstration "
            "model answers, if it is installed.",
        ),
        "LLM_BASE_URL": Advice(
            "Base URL of the upstream's API. A route at its end, such as `/chat/completions`, is cut off; a query "
            "is kept and sent with each request.",
            "Set it for any API other than OpenAI's, such as `https://api.groq.com/openai/v1` or a server of your "
            "own. A local server may need no key. At the start the log names an address that looks incomplete.",
        ),
        "LLM_HEADERS": Advice(
            "Headers that are sent to `LLM_BASE_URL` with each request, as a JSON object of texts. "
            "`Authorization` replaces that of `LLM_API_KEY`. Their values appear in no log and in no answer.",
            "Set it for an upstream that needs more than a key: "
            "[deploying.md](deploying.md#upstreams-that-need-more-than-a-key).",
        ),
        "LLM_PARAMS": Advice(
            "Fields that are added to each request for `LLM_BASE_URL` which leaves them out, as a JSON object. A "
            "field that the caller sends is never changed.",
            'Set it for what all callers should get, such as `{"temperature": 0.2, "max_tokens": 300}` or '
            '`{"chat_template_kwargs": {"enable_thinking": false}}`.',
        ),
        "WARM_MODEL": Advice(
            "With `on`, one worker asks `LLM_BASE_URL` for an answer of one token at the start, and again every 20 "
            "seconds until it succeeds. It waits for `STREAM_TIMEOUT`, and delays no call.",
            "Set it for a server that loads its model when it is first asked and gives up when the client leaves: "
            "otherwise every call ends at `TTFT_TIMEOUT`.",
        ),
        "LLM_MODEL": Advice(
            "Name of the model that is asked for where a request names none.",
            "Set it to a model that your API offers.",
        ),
        "LLM_FALLBACKS": Advice(
            "Further upstreams, which are asked in this order when an attempt fails before the first word. Each "
            "entry has a `base_url`, and optionally an `api_key`, a `model`, `headers` and `params`; the last two "
            "are what `LLM_HEADERS` and `LLM_PARAMS` are for `LLM_BASE_URL`.",
            "Set it where a call must be answered although your first provider is down.",
        ),
        "HEDGE_AFTER": Advice(
            "Milliseconds without a word after which the next upstream (or the same one again) is asked in "
            "parallel; the first to be heard is used. Thoughts of a model are held back until then. In the long "
            "run at most a fifth of the requests are doubled.",
            "Set it to about the 95th percentile of your model's time to first token, if rare slow answers matter "
            "more to you than the tokens of the second request.",
        ),
        "LLM_FORWARD_FIELDS": Advice(
            "Names of request fields that go upstream although they are neither OpenAI's nor a common extension; "
            "`*` lets all of them through, except the voice platform's own.",
            "Set it if your upstream understands a field of its own; the log line `field_held_back` names fields "
            "that were held back.",
        ),
        "INTERRUPTIONS": Advice(
            "With `note`, the model is told what was not heard of an answer that the platform marks as cut off.",
            "Set it to `off` if your system prompt deals with interruptions in a way of its own.",
        ),
        "SPEECH_CLEANUP": Advice(
            "Takes a model's `thoughts`, or with `speech` all that a voice should not read, out of the texts of "
            "/chat and /rag: [speech.md](speech.md). A request may override it with `speech_cleanup` in its body.",
            "Set it to `speech` if your platform reads out asterisks, links or emoji. `/audio` does not need it.",
        ),
        "FALLBACK_TEXT": Advice(
            "Text that is sent in place of an error when the server or the upstream fails, and in place of an "
            "answer without a word, so that the caller hears a sentence and not silence.",
            "Set it in production to something short, such as `Sorry, please say that again.` Leave it unset while "
            "you test, in order to see the errors.",
        ),
    },
)

AGENTS = Group(
    "Agents",
    "Several agents behind one server: [agents.md](agents.md).",
    {
        "AGENTS_DIR": Advice(
            "Folder of the agents' profiles: `NAME.json` is the agent NAME, `default.json` the one of requests that "
            "name none. None there: every request is answered as the settings say.",
            "Set it if your profiles lie outside the repository.",
        ),
    },
)

TOOLS = Group(
    "Tools",
    "What the model may call while it answers: [tools.md](tools.md).",
    {
        "TOOLS_DIR": Advice(
            "Folder of the tools: `*.json` (HTTP requests, MCP servers), `*.py` (functions). None there: no tools.",
            "Set it if your tools lie outside the repository, or to `samples/tools` to try the samples.",
        ),
        "TOOL_WAITING": Advice(
            "When a phrase is spoken while a tool runs: `always` (at once), `off`, or only after this many "
            "milliseconds. Never within 4 seconds of other words, 8 seconds after another phrase at the earliest, "
            "and twice in a turn at most.",
            "Set it to `off` if your platform speaks filler words of its own: two at once are one too many.",
        ),
        "TOOL_PASSES": Advice(
            "Maximum number of the upstream's answers in a turn: each but the last may call tools. 1 turns the "
            "tools off.",
            "Set it higher if one question needs tools that depend on one another; each pass takes the model's time.",
        ),
        "TOOL_TIMEOUT": Advice(
            "Maximum seconds of a call, unless its tool names its own time. The model is told that no answer came.",
            "Set it lower if your callers hang up before; platforms give up an answer after 3 to 20 seconds of "
            "silence.",
        ),
        "TOOL_BUDGET": Advice(
            "Maximum seconds of all calls of a turn together. Behind them the model is asked for its last answer.",
            "Set it to the longest time that a caller of yours may have to wait.",
        ),
    },
)

MEMORY = Group(
    "Memory",
    "What is remembered of a call where its platform sends less than the whole conversation: [memory.md](memory.md).",
    {
        "MEMORY": Advice(
            "With `tools`, calls of the server's tools and their results are put back into the following requests of "
            "a session; with `full`, also the turns that the platform does not send. Requests without a session are "
            "answered as with `off`.",
            'Set it to `tools` if you have tools and callers say "book the second one", to `full` if your platform '
            "sends only the last turns.",
        ),
        "MEMORY_TTL": Advice(
            "Seconds after a session's last turn for which it is remembered.",
            "Set it to the longest pause within a call of yours; shorter keeps less of what was said.",
        ),
        "MEMORY_STORE": Advice(
            "`memory:` keeps sessions in the worker, of which there can then be only one; `sqlite:PATH` keeps them in "
            "a file that the workers of one machine share, and that only the server's user can read; `redis:` keeps "
            "them in the Redis of `REDIS_URL`, for all machines. While that is away, turns go on without a memory.",
            "Set it to `sqlite:/dev/shm/parley.db`, which is no disk, if you run several workers, to `redis:` if you "
            "run several machines.",
        ),
    },
)

KNOWLEDGE = Group(
    "Knowledge",
    "What `/rag` searches and how: [knowledge.md](knowledge.md), [retrieval.md](retrieval.md).",
    {
        "KB_DIR": Advice(
            "Folder of the knowledge base: its `*.json` files. Each subfolder is a knowledge base of its own.",
            "Set it if your knowledge lies outside the repository.",
        ),
        "KB_POLL": Advice(
            "Seconds between two checks for changed knowledge files; 0 turns the checks off.",
            "Set it to 0 if files change only with a deployment, or higher on a slow network file system.",
        ),
        "DATABASE_URL": Advice(
            "A PostgreSQL database with pgvector from which all workers of all machines read the knowledge. `flask kb "
            "publish` writes the files of `KB_DIR` there. A worker keeps the knowledge in memory: lookups go on while "
            "the database is away. It needs `pip install -r requirements-shared.txt`. Without `sslmode` the connection "
            "to another machine is encrypted and not verified; `sslmode=verify-full` verifies it.",
            "Set it if several machines answer from one knowledge: [scaling.md](scaling.md#knowledge-in-a-database).",
        ),
        "DATABASE_POOL": Advice(
            "Connections to the database that a worker opens at most. It uses one to look for what is new.",
            "Lower it to 1 where the database has few connections for many workers.",
        ),
        "DATABASE_TIMEOUT": Advice(
            "Seconds that the database may take for a question where a knowledge base has more passages than "
            "`KB_RESIDENT`, so that it is searched there. After them the question is answered without context; a "
            "statement ends at the server then, too. At most `RAG_TIMEOUT`.",
            "Raise it where the database is in another zone or slow; callers wait for it.",
        ),
        "KB_RESIDENT": Advice(
            "Passages of a database that a worker holds in memory, all knowledge bases together. If there are more, "
            "bases are loaded when they are first asked for, and those that were not asked for longest leave.",
            "Lower it where memory is short (3 to 15 KB a passage, in each worker); raise it if "
            "`parley_kb_evictions_total` keeps growing: [scaling.md](scaling.md#knowledge-in-a-database).",
        ),
        "WAITING": Advice(
            "When `/rag` speaks a waiting message: `always` (at once), `off`, or only after this many milliseconds "
            "without a word; thoughts of a model are none. A request may override it with the field `waiting`.",
            "Set it to `off` if your platform speaks filler words of its own, or to a few hundred milliseconds if "
            "your model is usually faster than that.",
        ),
        "WAITING_MESSAGES": Advice(
            "The waiting messages, separated by `|`. Parley picks one at random and never repeats the last one. A "
            "knowledge base's own (`waiting_messages` in its `base.json`) are spoken in their place.",
            "Set it to your agent's tone; with bases in several languages, use `base.json`. Any script is taken; "
            "white space of any kind becomes single spaces.",
        ),
        "RAG_TOP_K": Advice(
            "Most passages that are sent to the model, of 1200 characters each on average.",
            "Raise it if answers miss facts that `flask kb search` finds further down; each passage costs tokens "
            "and time to the first word.",
        ),
        "RAG_TIMEOUT": Advice(
            "Seconds that a search may take. After them the question goes to the model without passages.",
            "Raise it only if an embeddings API is slow and answers without knowledge are worse than a pause.",
        ),
        "RAG_TIER": Advice(
            "How passages are ranked: `auto` uses words, and meanings where an encoder is available; `lexical` "
            "uses words alone.",
            "Set it to `lexical` to save the memory and CPU time of the encoder.",
        ),
        "RAG_REWRITE_MS": Advice(
            "Milliseconds that the model may take to rewrite a follow-up question so that it can be understood "
            "alone; `off` searches with the last two turns instead.",
            "Set it to about 500 if callers often ask follow-ups that `flask kb search --before` does not find. It "
            "delays each follow-up by the model's time, and costs tokens.",
        ),
        "RAG_FALLBACK": Advice(
            "With `quote`, /rag says the sentences of the passages that answer the question, word for word, "
            "where the upstream fails before its first word: callers still hear the opening hours.",
            "Set it to `quote` if a short answer out of your files is better than an error or an apology. Where "
            "nothing fits, the failure ends as without it.",
        ),
        "RAG_MIN_COVERAGE": Advice(
            "Minimum coverage (0 to 1): the share of the question's IDF weight that the best passage must contain; "
            "below it the search finds nothing. Used where there are no embeddings.",
            "Lower it if good questions are refused, raise it if the model answers from passages that do not fit.",
        ),
        "RAG_MIN_EVIDENCE": Advice(
            "Minimum evidence for an answer (0 to 1): the cosine of the best passage plus a share of its coverage; "
            "below it the search finds nothing. Used where there are embeddings. It has replaced `RAG_MIN_COSINE`, "
            "which is no setting any more: a value chosen for that does not fit.",
            "Choose it for an `EMBEDDINGS_MODEL` of your own: `flask kb search` prints the evidence beside the "
            "threshold. A base may have its own: `min_evidence` in its `base.json`.",
        ),
        "EMBEDDINGS_BASE_URL": Advice(
            "Base URL of an OpenAI-compatible API that embeds passages and questions.",
            "Set it if your knowledge is not English, or too large for the embedded encoder.",
        ),
        "EMBEDDINGS_API_KEY": Advice(
            "Key for the embeddings API. `LLM_API_KEY` is never sent there.",
            "Set it together with `EMBEDDINGS_BASE_URL`.",
        ),
        "EMBEDDINGS_MODEL": Advice(
            "Model that is asked for at the embeddings API.",
            "Set it to a model that this API offers.",
        ),
        "EMBEDDINGS_TIMEOUT": Advice(
            "Seconds that a question's embedding may take. After them the search uses words alone.",
            "Raise it for a distant API, but keep it below `RAG_TIMEOUT`.",
        ),
        "EMBEDDINGS_CACHE": Advice(
            "Folder in which embeddings of passages are kept, so that a restart does not compute them again, and the "
            "copies of a database's knowledge. `redis` keeps embeddings in the Redis of `REDIS_URL` for 30 days after "
            "they were last read; the copies are then in `.cache`.",
            "Set it to a folder on a persistent disk, or to `redis` if several machines have the same knowledge, or "
            "none has a lasting disk. Parley also works where neither can be written.",
        ),
    },
)

AUDIO = Group(
    "Audio",
    "What `/audio` says: [audio.md](audio.md).",
    {
        "AUDIO_MODE": Advice(
            "Source of the sound: `assets` plays recordings, `speech` synthesises the model's answer, `relay` "
            "passes on an upstream that answers in audio.",
            "Set it to `speech` for spoken answers by a voice of your choice, or to `relay` with a model such as "
            "`gpt-4o-audio-preview`.",
        ),
        "AUDIO_DIR": Advice(
            "Folder of the recordings: for each one `NAME.wav` and `NAME.txt`.",
            "Set it if your recordings lie outside the repository.",
        ),
        "AUDIO_SAMPLE_RATE": Advice(
            "Sample rate in Hz of the 16-bit mono PCM that is sent.",
            "Set it to the rate that your platform expects.",
        ),
        "AUDIO_CHUNK_MS": Advice(
            "Milliseconds of audio in one chunk.",
            "Raise it to save CPU time; a caller's interruption then takes effect a little later.",
        ),
        "AUDIO_LEAD_MS": Advice(
            "Milliseconds that audio may be sent ahead of real time.",
            "Raise it if playback has gaps on a bad network; more of what was sent is then thrown away when the "
            "caller interrupts.",
        ),
        "TTS_BASE_URL": Advice(
            "Base URL of an OpenAI-compatible API whose `/audio/speech` synthesises speech.",
            "Set it for any voice other than OpenAI's or the embedded demonstration voice.",
        ),
        "TTS_API_KEY": Advice(
            "Key for the speech API. `LLM_API_KEY` is never sent there.",
            "Set it for a voice of production quality.",
        ),
        "TTS_MODEL": Advice(
            "Model that is asked for at the speech API.",
            "Set it to a model that this API offers.",
        ),
        "TTS_VOICE": Advice(
            "Voice that is asked for at the speech API.",
            "Set it to the voice of your agent.",
        ),
        "TTS_LANGUAGE": Advice(
            "Language of the spoken answers. With `en`, numbers, dates and money are written out as English words "
            "before synthesis; with any other language they reach the voice unchanged.",
            "Set it for every language other than English.",
        ),
    },
)

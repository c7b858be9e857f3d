"""The knowledge that answers are grounded in: JSON files, read into passages; indexes; the prompt made of a search.

    folder_scan                                 which bases and files there are, and whether they have changed
    documents, chunking, cleaning               a folder's files, read into passages
    shapes, entries, field_names, markup        the forms of other tools: where entries are, what their fields are
    red_flags                                   hints at keys and prompt injection in a passage
    index, lexical, index_builder, postings     the lexical tier: queries, hits, BM25 scores
    terms, filters                              the words that are compared; metadata that must match
    semantic, encoders, minilm,                 the semantic tier: vectors, where they come from,
    multilingual, embeddings_api, vector_cache  and where they are kept
    ranking, fusion                             candidates by both tiers become hits
    sources, bases                              where bases come from; all that are served, kept in step with it
    retriever                                   the search that the answers call, with its deadline
    prompt                                      the passages as text around the caller's words

Nothing here speaks HTTP to callers, imports Flask or reads `os.environ`: folders, limits and keys come as arguments.
Nothing here imports `parley.upstream` or `parley.speech`; the three meet in `parley/answers/`.
"""

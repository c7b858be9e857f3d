-- For bases that are too large to be held by a server: their passages are searched here.
ALTER TABLE parley.base
  -- The length of a passage, in words, by which the terms were weighed.
  ADD average_length real,
  -- How many passages hold each term, and the written forms of the passages.
  ADD statistics bytea,
  -- Revision that the terms and the statistics are of: others' rows may have changed since.
  ADD searched_revision bigint,
  -- True once both indexes of the base are valid.
  ADD searchable bool NOT NULL DEFAULT false;
ALTER TABLE parley.base ALTER statistics SET STORAGE EXTERNAL;
ALTER TABLE parley.passage
  -- Saturated frequencies of the stems and pairs of words, and of the grams, by their numbers; those numbers alone.
  ADD words sparsevec,
  ADD grams sparsevec,
  ADD terms int4[];
ALTER TABLE parley.passage ALTER grams SET STORAGE EXTERNAL;

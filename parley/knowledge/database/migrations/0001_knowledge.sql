-- Needs pgvector 0.8 or later; where only an administrator may create extensions, run this line as one first.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS parley;
CREATE TABLE parley.version (
  version int PRIMARY KEY,
  applied timestamptz NOT NULL DEFAULT now()
);
-- One row: copies of the knowledge on machines belong to this database and to no other.
CREATE TABLE parley.origin (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  single bool PRIMARY KEY DEFAULT true CHECK (single)
);
INSERT INTO parley.origin DEFAULT VALUES;
CREATE SEQUENCE parley.revision;
CREATE TABLE parley.base (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (name = '' OR name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
  revision bigint NOT NULL,
  passages int NOT NULL,
  -- What base.json says, and what the publisher found: the language, the encoder of the vectors, the form of the terms.
  settings jsonb NOT NULL DEFAULT '{}',
  language text,
  encoder text,
  size int,
  terms_version int NOT NULL,
  removed bool NOT NULL DEFAULT false,
  published timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON parley.base (revision);
CREATE TABLE parley.passage (
  base_id int NOT NULL REFERENCES parley.base ON DELETE CASCADE,
  id text NOT NULL,
  ord int NOT NULL,
  revision bigint NOT NULL,
  -- A tombstone keeps id and revision only, and goes after a week.
  gone timestamptz,
  title text,
  body text,
  file text,
  metadata jsonb,
  part int,
  parts_of text,
  digest bytea,
  content_key bytea,
  vector halfvec,
  -- Vectors of stretches of the text, as rows of int8.
  windows bytea,
  PRIMARY KEY (base_id, id)
);
CREATE INDEX ON parley.passage (base_id, revision);
ALTER TABLE parley.passage ALTER body SET STORAGE EXTERNAL;
-- For whoever changes rows by other means than `flask kb publish`: servers then load the base anew.
CREATE FUNCTION parley.touch(base text) RETURNS bigint LANGUAGE sql AS $$
  WITH touched AS (
    UPDATE parley.base SET
      revision = nextval('parley.revision'),
      passages = (SELECT count(*) FROM parley.passage WHERE base_id = base.id AND gone IS NULL)
    WHERE name = touch.base RETURNING id, revision
  ), marked AS (
    UPDATE parley.passage SET revision = touched.revision FROM touched WHERE base_id = touched.id
  )
  SELECT revision FROM touched
$$;

-- The role of the servers, which read and write nothing. PostgreSQL's image runs this at its first start, as parley_owner;
-- by hand: READER_PASSWORD=... psql -f deploy/postgres.roles.sql DATABASE_URL_OF_THE_OWNER
\set ON_ERROR_STOP on
\getenv password READER_PASSWORD
CREATE ROLE parley_reader LOGIN PASSWORD :'password';
-- Whatever `flask db init` makes, now and after an upgrade.
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO parley_reader;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO parley_reader;

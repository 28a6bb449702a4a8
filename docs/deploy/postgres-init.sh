#!/bin/sh
# The image of PostgreSQL runs this once, on an empty volume: a database and a role of rapbot's own. Not the superuser,
# for whom no row would be closed (row level security); only a superuser may add pgvector.
set -eu
password=$(cat "${DATABASE_PASSWORD_FILE:-/run/secrets/database_password}")
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set role="${DATABASE_ROLE:-rapbot}" --set password="$password" \
  --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
\connect :"role"
CREATE EXTENSION vector;
SQL

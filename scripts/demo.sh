#!/bin/sh
# demo.sh BIN: an archive with the sample stars, served in the foreground. BIN holds the `archive` command;
# ARCHIVE_HOME says where the archive lives and PORT where it listens. Every step may be run again: it changes nothing.
set -eu
: "${ARCHIVE_HOME:?}" "${PORT:?}"
archive=$1/archive
sample=tests/data/sample
export ARCHIVE_HOME ARCHIVE_PUBLIC_URL="http://127.0.0.1:$PORT"

"$archive" init --authority archive.example --publisher "Demonstration" --contact nobody@archive.example \
    --public-url "$ARCHIVE_PUBLIC_URL"
for table in field star; do
    "$archive" load dr1 "$table" "$sample/dr1.$table.parquet"
done
"$archive" load ext_tycho2 star "$sample/ext_tycho2.star.parquet"
"$archive" publish dr1
"$archive" publish ext_tycho2
exec "$archive" serve --port "$PORT"

#!/bin/sh
# demo.sh BIN: an archive with the sample stars, served in the foreground. BIN holds the `archive` command;
# ARCHIVE_HOME says where the archive lives and PORT where it listens. Every step may be run again: it changes nothing.
set -eu
archive=$1/archive
sample=tests/data/tycho2_brightest.parquet
export ARCHIVE_HOME ARCHIVE_PUBLIC_URL="http://127.0.0.1:$PORT"

"$archive" init --authority archive.example --publisher "Demonstration" --contact "nobody@archive.example"
"$archive" load ext_tycho2 star "$sample"
"$archive" publish ext_tycho2
exec "$archive" serve --port "$PORT"

#!/bin/sh
# demo.sh BIN: an archive with the sample stars and images, served in the foreground. BIN holds the `archive` command;
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
images=tests/data/images
for band in J H K; do
    file=$images/gc_2mass_$(echo "$band" | tr JHK jhk).fits
    "$archive" ingest "$file" --type coadd --release dr1 --collection galactic_centre --set band="$band" \
        --set target_name="Galactic centre" --null "*=the file does not tell"
done
"$archive" ingest $images/gc_bolocam_gps.fits $images/spitzer_example_image.fits $images/l1448_13co.fits \
    --type coadd --release dr1 --collection surveys --null "*=the file does not tell"
"$archive" ingest $images/M13_blue_0001.fits --type raw_image --release dr1 --collection raw \
    --set exposure_id=M13_blue_0001 --null "*=the file does not tell"
exec "$archive" serve --port "$PORT"

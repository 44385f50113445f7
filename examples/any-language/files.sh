#!/bin/sh
# A worker that a shell starts: it makes what there is to serve, and then becomes a program that serves it.
set -eu
folder=$(mktemp -d)
echo "Made by a shell for replica $SERVE_REPLICA_RANK" > "$folder/index.html"
exec python3 -m http.server "$1" --bind 127.0.0.1 --directory "$folder"

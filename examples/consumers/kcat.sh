#!/bin/sh
# Prints the committed transitions of a topic as lines of JSON, for a look or a script.
#
#   kcat.sh localhost:9092 lifecycle.transitions
set -eu
# -e exits at the end; without it, kcat waits for more. read_committed hides the records of aborted transactions.
exec kcat -C -q -e -b "$1" -t "$2" -o beginning -X isolation.level=read_committed -f '%s\n'

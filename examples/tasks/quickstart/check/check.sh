#!/bin/sh
# Fetches a page, as soon as it is there, and looks for a text in it.
#   check.sh URL TEXT
set -eu
url=$1
text=$2

tries=${WAIT_SECONDS:-20}
until page=$(timeout 5 wget -q -O - "$url"); do
  tries=$((tries - 1))
  if [ "$tries" -le 0 ]; then
    echo "no answer from $url" >&2
    exit 1
  fi
  sleep 1
done

case $page in
  *"$text"*) echo "ok: $url says '$text'" ;;
  *)
    echo "not found: '$text' in" >&2
    echo "$page" >&2
    exit 1
    ;;
esac

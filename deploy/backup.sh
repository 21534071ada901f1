#!/bin/sh
# Copies the database into a folder while the service runs, and removes copies of more than
# KEEP_DAYS days (30). With PGDATABASE set it is PostgreSQL (pg_dump, by libpq's variables), else the
# SQLite file of the service's own settings (creditbot backup).
#
#   backup.sh FOLDER            once
#   backup.sh FOLDER SECONDS    now, and again every so many seconds
#
# A copy holds sealed keys and conversations: without the master key nobody opens it. Keep that
# elsewhere, and a copy of the copies on another machine.
set -eu
umask 077
folder=$1
every=${2:-0}

copy() {
	file="$folder/creditbot-$(date -u +%Y-%m-%dT%H%M%SZ)"
	if [ -n "${PGDATABASE:-}" ]; then
		pg_dump --format=custom --no-owner --file="$file.part"
		made="$file.dump"
	else
		creditbot backup "$file.part" >/dev/null
		made="$file.db"
	fi
	mv "$file.part" "$made"
	find "$folder" -maxdepth 1 -type f -name 'creditbot-*' -mtime "+${KEEP_DAYS:-30}" -delete
	echo "copied to $made"
}

copy
while [ "$every" -gt 0 ]; do
	sleep "$every"
	copy
done

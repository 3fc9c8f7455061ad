#!/bin/sh
# Maintenance of the local stack: secrets, accounts, backups, upgrades. mlflow_server/README.md says when to use it.
# Usage: stack.sh secrets | account NAME [--admin | --remove] | backup | restore FILE | upgrade | rotate
set -eu
umask 077
cd "$(dirname "$0")/.."
SECRETS="POSTGRES_PASSWORD MLFLOW_DATABASE_PASSWORD OPTUNA_DATABASE_PASSWORD
MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_AUTH_ADMIN_PASSWORD PIPELINE_PASSWORD"
DATABASES="mlflow optuna"

fail() {
    echo "error: $1" >&2
    exit 2
}

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# Copies settings, with new values for `missing` or for `all` secrets. Only shell builtins handle the values, so that no process
# list shows them.
fill() {
    seen=" "
    while IFS= read -r line || [ -n "$line" ]; do
        name=${line%%=*}
        for secret in $SECRETS; do
            if [ "$name" = "$secret" ]; then
                seen="$seen$name "
                if [ "$1" = all ] || [ "$line" = "$name=" ]; then line="$name=$(random)"; fi
            fi
        done
        printf '%s\n' "$line"
    done
    for secret in $SECRETS; do
        case "$seen" in
            *" $secret "*) ;;
            *) printf '%s=%s\n' "$secret" "$(random)" ;;
        esac
    done
}

# Writes or completes .env. The pipeline's container writes to this folder, so it runs as the folder's owner.
make_secrets() {
    from=.env
    [ -e .env ] || from=.env.example
    fill missing <"$from" >.env.new
    if ! grep -q '^RUN_AS=' .env.new; then
        ls -nd . | awk '{ print "RUN_AS=" $3 ":" $4 }' >>.env.new
    fi
    mv .env.new .env
    # The stack hides this folder from the pipeline by a mount, and would create it as root if it did not exist.
    mkdir -p backups
    echo "secrets: in .env, which only you can read"
}

check_settings() {
    [ -e .env ] || fail ".env: must be there, got nothing. \`make secrets\` writes it."
}

# Databases first: a run that ends during the backup then leaves artifacts without a run, not a run without artifacts.
backup() {
    check_settings
    docker compose up --detach --wait postgres
    mkdir -p backups
    folder=$(mktemp -d backups/.XXXXXX)
    trap 'rm -rf "$folder"' EXIT
    for name in $DATABASES; do
        docker compose exec -T postgres pg_dump --username=postgres --no-owner --no-privileges "$name" >"$folder/$name.sql"
    done
    # Exit code 1 means that a file, such as the log of a run, grew while it was read.
    docker compose run --rm --no-deps -T mlflow sh -c 'tar -C / -cf - artifacts || [ $? -eq 1 ]' >"$folder/artifacts.tar"
    file=backups/$(date -u +%Y%m%dT%H%M%SZ).tar
    tar -C "$folder" -cf "$folder/backup" mlflow.sql optuna.sql artifacts.tar
    mv "$folder/backup" "$file"
    echo "backup: $file"
}

# Each database is replaced in one transaction, so that an incomplete dump changes nothing.
restore() {
    check_settings
    [ -f "$1" ] || fail "FILE: must be a file that \`make backup\` wrote, got '$1'. Name one of backups/."
    mkdir -p backups
    folder=$(mktemp -d backups/.XXXXXX)
    trap 'rm -rf "$folder"' EXIT
    tar -C "$folder" -xf "$1" mlflow.sql optuna.sql artifacts.tar 2>"$folder/said" ||
        fail "FILE: must be a whole file that \`make backup\` wrote, got $1 ($(tail -n 1 "$folder/said")). Name another one."
    docker compose up --detach --wait postgres
    docker compose stop mlflow
    for name in $DATABASES; do
        { echo 'DROP SCHEMA public CASCADE; CREATE SCHEMA public;'; cat "$folder/$name.sql"; } |
            docker compose exec -T postgres psql --username="$name" --dbname="$name" --no-psqlrc --quiet \
                --single-transaction --set=ON_ERROR_STOP=1 --output=/dev/null
    done
    docker compose run --rm --no-deps -T mlflow tar -C / -xf - <"$folder/artifacts.tar"
    docker compose up --detach --wait
    echo "restored: $1"
}

upgrade() {
    backup
    docker compose stop mlflow
    docker compose build mlflow
    docker compose run --rm --no-deps -T mlflow python serve.py upgrade
    docker compose up --detach --wait
}

# The database gets the passwords first. If that fails, .env.new is kept, so that no password is lost.
rotate() {
    check_settings
    docker compose up --detach --wait postgres
    fill all <.env >.env.new
    while IFS='=' read -r name value; do
        case "$name" in
            POSTGRES_PASSWORD) echo "ALTER ROLE postgres PASSWORD '$value';" ;;
            MLFLOW_DATABASE_PASSWORD) echo "ALTER ROLE mlflow PASSWORD '$value';" ;;
            OPTUNA_DATABASE_PASSWORD) echo "ALTER ROLE optuna PASSWORD '$value';" ;;
        esac
    done <.env.new |
        docker compose exec -T postgres psql --username=postgres --dbname=postgres --no-psqlrc --quiet \
            --single-transaction --set=ON_ERROR_STOP=1
    mv .env.new .env
    # Running servers would keep their connections under the old password, and fail later.
    docker compose up --detach --wait --force-recreate
    echo "rotated: every secret in .env"
}

verb=${1:-}
[ $# -eq 0 ] || shift
case "$verb" in
    secrets) make_secrets ;;
    account) docker compose exec -T --env=PYTHONWARNINGS=ignore mlflow python serve.py account "$@" ;;
    backup) backup ;;
    restore) restore "${1:-}" ;;
    upgrade) upgrade ;;
    rotate) rotate ;;
    *) fail "stack.sh: must be given a verb (secrets, account, backup, restore, upgrade, rotate), got '$verb'. Name one." ;;
esac

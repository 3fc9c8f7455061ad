#!/bin/sh
# What is done to the local stack from outside it: secrets, accounts, backups, upgrades. mlflow_server/README.md says when.
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

# Copies settings, with new secrets in place of `missing` ones or of `all`. Only commands of the shell itself see them.
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

# Writes .env, or completes it. The pipeline's container writes into this folder, so it runs as its owner.
make_secrets() {
    from=.env
    [ -e .env ] || from=.env.example
    fill missing <"$from" >.env.new
    if ! grep -q '^RUN_AS=' .env.new; then
        ls -nd . | awk '{ print "RUN_AS=" $3 ":" $4 }' >>.env.new
    fi
    mv .env.new .env
    # The stack hides this folder from the pipeline, and would make one that belongs to root.
    mkdir -p backups
    echo "secrets: in .env, which only you can read"
}

check_settings() {
    [ -e .env ] || fail ".env: must be there, got nothing. \`make secrets\` writes it."
}

# Databases first: a run that ends meanwhile leaves artifacts that no run names, not a run without its artifacts.
backup() {
    check_settings
    docker compose up --detach --wait postgres
    mkdir -p backups
    folder=$(mktemp -d backups/.XXXXXX)
    trap 'rm -rf "$folder"' EXIT
    for name in $DATABASES; do
        docker compose exec -T postgres pg_dump --username=postgres --no-owner --no-privileges "$name" >"$folder/$name.sql"
    done
    # Exit code 1 is a file that grew meanwhile, as the log of a run does.
    docker compose run --rm --no-deps -T mlflow sh -c 'tar -C / -cf - artifacts || [ $? -eq 1 ]' >"$folder/artifacts.tar"
    file=backups/$(date -u +%Y%m%dT%H%M%SZ).tar
    tar -C "$folder" -cf "$folder/backup" mlflow.sql optuna.sql artifacts.tar
    mv "$folder/backup" "$file"
    echo "backup: $file"
}

# Each database is replaced in one transaction: a dump that breaks off changes nothing.
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

# The database is told first. .env.new stays where that fails, so that nothing is lost in between.
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
    # A server that runs keeps connections with the old password, and fails later.
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

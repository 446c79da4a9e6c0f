# Functions of docker/backup, docker/restore and docker/nuke, which read this file.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DATABASES=(airflow mlflow optuna warehouse)
# Parts of a backup; the manifest comes last, so a file that was cut short has none.
PARTS=("${DATABASES[@]/%/.dump}" var.tar.gz secrets.tar.gz manifest)
LAYOUT=1

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$0" "$*" >&2 && exit 1; }

need_engine() {
  command -v docker >/dev/null || fail "docker is needed: install Docker Engine (Debian: apt install docker.io)"
  docker info >/dev/null 2>&1 || fail "no Docker engine answers: start it (systemctl start docker), or see \`docker info\`"
  configuration=$(docker compose config 2>&1) || fail "Compose cannot read its settings: ${configuration##*$'\n'}"
  project=$(sed -n 's/^name: //p' <<<"$configuration")
  postgres_image=$(awk '/^[a-z]/ { top = $1 } /^  [a-z]/ { name = $1 }
    top == "services:" && name == "postgres:" && $1 == "image:" { print $2 }' <<<"$configuration")
}

# One at a time; the lock ends with the process and what it started.
need_lock() {
  exec 9<docker-compose.yml
  flock --nonblock 9 || fail "a backup, restore or nuke is at work already: wait until it has ended"
}

need_own_postgres() {
  [[ $postgres_image ]] ||
    fail "POSTGRES_HOST in .env names a server elsewhere: $1 its databases (${DATABASES[*]}) with its own tools," \
      "such as pg_dump and pg_restore, and the volumes ${project}_var and ${project}_secrets with Docker's"
}

# The volumes of this project, with their names in docker-compose.yml.
volumes() {
  docker volume ls --filter "label=com.docker.compose.project=$project" \
    --format '{{.Label "com.docker.compose.volume"}} {{.Name}}'
}

has_volume() { grep -q "^$1 " <<<"$(volumes)"; }
# Services that run now, one a line.
running() { docker compose ps --services --status running | sort -u; }

# Of those that ran before.
all_but_postgres() { grep -vx -e postgres -e "" <<<"$before" || true; }

need_no_start() {
  ! grep -qxE "init|connect" <<<"$before" ||
    fail "the stack is just being started: try again once \`docker compose up --wait\` has ended"
}

containers() { docker compose ps --all --quiet; }

# Runs a program of the init job's image with its volumes, as its user; standard input and output are the program's own.
inside() { quietly docker compose run --rm --no-deps --no-TTY --entrypoint "$1" init "${@:2}"; }
in_postgres() { docker compose exec --no-TTY postgres "$@"; }

# Runs SQL as the superuser.
sql() { in_postgres psql --no-psqlrc --quiet --no-align --tuples-only -v ON_ERROR_STOP=1 --username postgres "$@"; }

# Says what a command has to tell only if it fails.
quietly() {
  local told code=0
  told=$(mktemp)
  "$@" 2>"$told" || code=$?
  ((!code)) || cat "$told" >&2
  rm -f "$told"
  return "$code"
}

start_postgres() {
  quietly docker compose up --detach --wait --no-deps --no-build postgres ||
    fail "PostgreSQL does not start: see \`docker compose logs postgres\`"
}

stop() {
  ((!$#)) || quietly docker compose stop "$@"
}

# Starts services that were there before, and waits until they are healthy.
start() {
  ((!$#)) || quietly docker compose up --detach --wait --no-deps --no-recreate --no-build "$@"
}

size() { stat --format %s "$1" | numfmt --to=iec --suffix=B; }

# Asks for a yes, or for another word; YES=1 is one.
ask() {
  local question=$1 word=$2 answer
  [[ ${YES:-} != 1 ]] || return 0
  [[ -t 0 ]] || fail "nobody is there to be asked: YES=1 does it without"
  read -r -p "$question " answer || true
  [[ $answer == "$word" ]] || fail "nothing was done"
}

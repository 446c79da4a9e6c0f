# Functions shared by docker/backup, docker/restore and docker/nuke, which source this file.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DATABASES=(airflow mlflow optuna warehouse)
# The parts of a backup. The manifest comes last, so a truncated file has none.
PARTS=("${DATABASES[@]/%/.dump}" var.tar.gz secrets.tar.gz manifest)
BACKUP_FORMAT=1

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$0" "$*" >&2 && exit 1; }

need_engine() {
  command -v docker >/dev/null || fail "docker not found: install Docker Engine (Debian: apt install docker.io)"
  docker info >/dev/null 2>&1 ||
    fail "the Docker engine does not respond: start it (systemctl start docker), or check \`docker info\`"
  configuration=$(docker compose config 2>&1) || fail "docker compose cannot read its settings: ${configuration##*$'\n'}"
  project=$(sed -n 's/^name: //p' <<<"$configuration")
  postgres_image=$(awk '/^[a-z]/ { top = $1 } /^  [a-z]/ { name = $1 }
    top == "services:" && name == "postgres:" && $1 == "image:" { print $2 }' <<<"$configuration")
}

# Allow one script at a time. The lock is released when the process and its children have ended.
need_lock() {
  exec 9<docker-compose.yml
  flock --nonblock 9 || fail "another backup, restore or nuke is running: wait until it has finished"
}

need_own_postgres() {
  [[ $postgres_image ]] ||
    fail "POSTGRES_HOST in .env names an external server: $1 its databases (${DATABASES[*]}) with its own tools," \
      "such as pg_dump and pg_restore, and the volumes ${project}_var and ${project}_secrets with Docker's"
}

# Print this project's volumes: the name in docker-compose.yml and Docker's name.
volumes() {
  docker volume ls --filter "label=com.docker.compose.project=$project" \
    --format '{{.Label "com.docker.compose.volume"}} {{.Name}}'
}

has_volume() { grep -q "^$1 " <<<"$(volumes)"; }

# Print the running services, one per line; `task` is none, but the containers of tasks, which the scheduler makes.
running() { docker compose ps --services --status running | sed '/^task$/d' | sort -u; }

# Print the services that were running before, without PostgreSQL.
all_but_postgres() { grep -vx -e postgres -e "" <<<"$before" || true; }

need_no_start() {
  ! grep -qxE "init|connect" <<<"$before" ||
    fail "the stack is starting: try again when \`docker compose up --wait\` has finished"
}

containers() { docker compose ps --all --quiet; }

# Run a program in a new container of the init job, with its volumes and user; standard input and output are passed through.
inside() { quietly docker compose run --rm --no-deps --no-TTY --entrypoint "$1" init "${@:2}"; }
in_postgres() { docker compose exec --no-TTY postgres "$@"; }

# Run SQL as the superuser.
sql() { in_postgres psql --no-psqlrc --quiet --no-align --tuples-only -v ON_ERROR_STOP=1 --username postgres "$@"; }

# Run a command and show its error output only if it fails.
quietly() {
  local errors code=0
  errors=$(mktemp)
  "$@" 2>"$errors" || code=$?
  ((!code)) || cat "$errors" >&2
  rm -f "$errors"
  return "$code"
}

start_postgres() {
  quietly docker compose up --detach --wait --no-deps --no-build postgres ||
    fail "PostgreSQL does not start: see \`docker compose logs postgres\`"
}

stop() {
  ((!$#)) || quietly docker compose stop "$@"
}

# Remove what a stopped scheduler leaves behind: containers of tasks, which are tried again after its next start.
remove_tasks() {
  docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
    --filter label=com.docker.compose.service=task | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
}

# Start existing services and wait until they are healthy.
start() {
  ((!$#)) || quietly docker compose up --detach --wait --no-deps --no-recreate --no-build "$@"
}

size() { stat --format %s "$1" | numfmt --to=iec --suffix=B; }

# Ask a question and exit unless the answer is the given word; YES=1 answers it.
ask() {
  local question=$1 word=$2 answer
  [[ ${YES:-} != 1 ]] || return 0
  [[ -t 0 ]] || fail "no terminal: set YES=1 to continue without a question"
  read -r -p "$question " answer || true
  [[ $answer == "$word" ]] || fail "cancelled; nothing was changed"
}

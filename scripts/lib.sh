# Shared by the scripts beside it (sourced, never run): the root of the checkout, where tools are, how to talk.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/.tools
PATH=$TOOLS/bin:$PATH
# Tests look for the test cluster here, also those of a copy of the sources (scripts/mutants).
TRADEWIND_TOOLS=$TOOLS
export ROOT TOOLS PATH TRADEWIND_TOOLS
cd "$ROOT" || exit 1

say() { printf '%s\n' "$*"; }

# die MESSAGE...: one clear sentence on stderr, exit 1.
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# The directory cargo builds into, also when the user has moved it.
target_dir() { say "${CARGO_TARGET_DIR:-$ROOT/target}"; }

# cluster_runs DIR: a test cluster runs in that folder. Its process holds a lock there for as long as it lives.
cluster_runs() { [ -e "$1/up.lock" ] && ! flock --nonblock --shared "$1/up.lock" true; }

# go_build ARGUMENTS... PACKAGE: go build, with a word every 15 s of how far it is: the first build of a program of
# Kubernetes takes minutes, in which go says nothing.
go_build() {
  local total count=0 line next=$((SECONDS + 15)) said
  total=$(go list -deps "${@: -1}" | wc -l)
  said=$(mktemp)
  if go build -v "$@" 2>&1 | while IFS= read -r line; do
    count=$((count + 1))
    printf '%s\n' "$line" >>"$said"
    if [ "$SECONDS" -ge "$next" ]; then
      say "  $count packages compiled, of at most $total"
      next=$((SECONDS + 15))
    fi
  done; then
    rm -f "$said"
    return
  fi
  # What is not the name of a package is what is wrong.
  grep -vE '^[^ :]+$' "$said" >&2
  rm -f "$said"
  return 1
}

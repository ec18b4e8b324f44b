# shellcheck shell=bash
# shellcheck disable=SC2034  # the settings are for the scripts that source this file
# Settings and small functions shared by up, down, status, image, apiserver and inner.sh. Sourcing it changes nothing.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)
CACHE=$(realpath -m "${CODEBLUE_TESTBED:-${HOME:?HOME is not set; set it or CODEBLUE_TESTBED}/.cache/codeblue-testbed}")
STATE=$CACHE/cluster # everything a running cluster writes is below it, and goes with it
CONTEXT=codeblue-test
NODE=n1

# Three neighbouring networks: pods 10.N, the link to the node 10.N+1, services 10.N+2.
OCTET=${CODEBLUE_TESTBED_OCTET:-$(cat "$STATE/octet" 2>/dev/null || echo 188)} # the running cluster's, if any
PODS=10.$OCTET.0.0/16
HOST_IP=10.$((OCTET + 1)).0.1
NODE_IP=10.$((OCTET + 1)).0.2
SERVICES=10.$((OCTET + 2)).0.0/16
DNS_IP=10.$((OCTET + 2)).0.10
LINK=cbt0 # the host's end of the only cable into the cluster; its peer inside is cbt1
CGROUP=codeblue-testbed

KUBERNETES_VERSION=v1.36.3
CONTAINERD_SOCKET=$STATE/containerd/containerd.sock

say() { # say WHAT...: one line per phase, with the seconds since the script started
  awk -v now="${EPOCHREALTIME/,/.}" -v then="${STARTED/,/.}" -v what="$*" \
    'BEGIN { printf "%7.2f s  %s\n", now - then, what }'
}
STARTED=$EPOCHREALTIME

fail() { # fail WHAT REMEDY: ends the script
  printf 'testbed: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf '         %s\n' "$2" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || fail "needs root: it makes namespaces, a veth pair and cgroups" "run: sudo -E $0"
}

lock() { # one at a time: two `up` would tear each other's cluster down
  mkdir -p "$CACHE"
  exec 9>"$CACHE/lock"
  flock -w 900 9 || fail "another testbed command has held $CACHE/lock for 15 minutes" "see who: fuser -v $CACHE/lock"
}

# The first line of pid 1's arguments is what tells our process from another that got the same number later.
is_ours() { [ -n "${1:-}" ] && tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "inner.sh $STATE "; }

cluster_pid() { # prints the pid (as the host sees it) of the cluster's pid 1; fails when there is none
  local pid
  pid=$(cat "$STATE/run/init.pid" 2>/dev/null) && is_ours "$pid" && echo "$pid"
}

inside() { # inside PID COMMAND...: runs a command in the cluster's namespaces
  local pid=$1
  shift
  nsenter --target "$pid" --mount --net --pid -- "$@"
}

api() { # api PATH [SECONDS]: asks the API server as administrator
  curl -sS --max-time "${2:-2}" --cacert "$STATE/pki/apiserver.crt" -H "@$STATE/admin.header" "https://$NODE_IP:6443$1" 2>/dev/null
}

api_ready() { [ "$(api /readyz "${1:-2}")" = ok ]; }

node_ready() { api "/api/v1/nodes/$NODE" "${1:-2}" | tr -d ' \n' | grep -q '"type":"Ready","status":"True"'; }

wait_for() { # wait_for SECONDS WHAT COMMAND...: polls; on failure shows where to look
  local limit=$1 what=$2 end
  shift 2
  end=$((SECONDS + limit))
  until "$@"; do
    if [ $SECONDS -ge "$end" ]; then
      echo "--- the last lines of $STATE/log/*.log" >&2
      tail -qn 3 "$STATE"/log/[!a]*.log 2>/dev/null | cut -c1-300 >&2
      fail "$what: not within $limit s" "the logs are in $STATE/log; 'testbed/kubernetes/up --fresh' starts again"
    fi
    sleep 0.1
  done
}

python() { # the interpreter the image is made of: PYTHON, else the repository's environment, else the host's
  local candidate
  for candidate in "${PYTHON:-}" "$REPOSITORY/.venv/bin/python" python3; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python found" "install python3 (3.11 or newer), or set PYTHON"
}

# The key of the binaries: what they are built from. The flags below belong to it.
BUILD_FLAGS=(-gcflags='all=-dwarf=false' -ldflags="-s -w
  -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION
  -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36
  -X k8s.io/component-base/version.gitTreeState=clean")

binary_key() {
  (cd "$HERE/hyperkube" && { cat go.mod go.sum ./*.go pause/*.go && echo "${BUILD_FLAGS[*]}"; } | sha256sum | cut -c1-16)
}

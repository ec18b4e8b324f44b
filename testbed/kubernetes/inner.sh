#!/usr/bin/env bash
# pid 1 of the cluster's pid namespace. Its death ends every process, mount, interface and packet filter of the cluster.
# $1 is the state directory (it also marks the process as ours), then NETPOL: off, on or strict.
set -uo pipefail
# shellcheck source=lib.sh source-path=SCRIPTDIR disable=SC1091
. "$(dirname "$0")/lib.sh"
STATE=$1 NETPOL=$2
HYPERKUBE=$(realpath "$CACHE/bin/hyperkube")
cd "$STATE" || exit 1

ip link set lo up
until ip link show cbt1 >/dev/null 2>&1; do sleep 0.02; done # `up` plugs the cable in as soon as it knows our pid
ip addr add "$NODE_IP/30" dev cbt1
ip link set cbt1 up
ip route add default via "$HOST_IP"
# No limit: the default tells one peer at most once a second that it was refused, and the host is the only peer.
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0
# What belongs to no pod (any more) must not go out again by the default route, where the host would send it back:
# it would go round, and all retries of that connection with it. Every pod has a route of its own, which comes first.
ip route add unreachable "$PODS"
# kube-proxy turns a Service's address into a pod's. A packet that still has it was sent before kube-proxy knew of the
# Service; the answer is the one that kube-proxy gives for a Service without pods.
nft "table ip testbed { chain forward { type filter hook forward priority filter + 20;
  ip daddr $SERVICES reject with icmp port-unreachable; }; }"

# Whatever the programs write outside the state directory goes to private mounts, and so vanishes with us.
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock /run/cni-ipam
mount -t tmpfs tmpfs /var/lib/cni
# Layers need a file system that overlayfs accepts as its upper layer; the disk below may itself be an overlay.
mount -t tmpfs tmpfs "$STATE/containerd"
mount --bind "$STATE/kubelet" /var/lib/kubelet
mount --bind "$STATE/pod-logs" /var/log/pods
mount --bind "$STATE/container-logs" /var/log/containers

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # version 2: one tree
  mkdir -p "/sys/fs/cgroup/$CGROUP"
  read -ra controllers </sys/fs/cgroup/cgroup.controllers
  for controller in "${controllers[@]}"; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
  done 2>/dev/null
else # version 1: a tree per controller; a new cpuset is empty and must be filled before it takes processes
  for tree in /sys/fs/cgroup/*/; do mkdir -p "$tree$CGROUP" 2>/dev/null; done
  if [ -e "/sys/fs/cgroup/cpuset/$CGROUP" ]; then
    for file in cpuset.cpus cpuset.mems; do
      cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$CGROUP/$file"
    done
  fi
fi

# keep NAME COMMAND...: runs it again when it ends, except while run/NAME.off exists (see ./apiserver refuse).
keep() {
  local name=$1 child
  shift
  (
    while :; do
      if [ -e "$STATE/run/$name.off" ]; then
        sleep 0.1
        continue
      fi
      "$@" >>"$STATE/log/$name.log" 2>&1 &
      child=$!
      echo "$child" >"$STATE/run/$name.pid"
      wait "$child"
      echo "--- $name ended with $?" >>"$STATE/log/$name.log"
      sleep 0.2
    done
  ) &
}
serve() { # serve NAME ARGUMENT...
  local name=$1
  shift
  keep "$name" "$HYPERKUBE" "$name" "$@"
}

keep containerd containerd --config "$STATE/containerd.toml"
serve etcd --data-dir "$STATE/etcd" --unsafe-no-fsync \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380
# The audit log blocks: an answer is not given before its line is written. It must not be rotated: tests hold offsets.
serve kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --bind-address=0.0.0.0 \
  --advertise-address="$NODE_IP" --cert-dir="$STATE/pki" --endpoint-reconciler-type=lease \
  --service-cluster-ip-range="$SERVICES" --allow-privileged=true --kubelet-preferred-address-types=InternalIP \
  --service-account-key-file="$STATE/pki/sa.key" --service-account-signing-key-file="$STATE/pki/sa.key" \
  --service-account-issuer=https://kubernetes.default.svc \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --token-auth-file="$STATE/tokens.csv" \
  --audit-policy-file="$STATE/audit-policy.yaml" --audit-log-path="$STATE/log/audit.log" --audit-log-mode=blocking \
  --audit-log-maxsize=100000 \
  --requestheader-client-ca-file="$STATE/pki/front-proxy.crt" --requestheader-allowed-names=front-proxy \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$STATE/pki/front-proxy.crt" --proxy-client-key-file="$STATE/pki/front-proxy.key" \
  --enable-aggregator-routing=true
(
  until ctr --address "$CONTAINERD_SOCKET" version >/dev/null 2>&1; do sleep 0.1; done
  ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io images import "$CACHE/images/pause.tar"
) >"$STATE/log/images.log" 2>&1 &

# The controller manager gives up on some controllers when the API is not there yet, and does not try again.
until curl -skf https://127.0.0.1:6443/readyz >/dev/null 2>&1; do sleep 0.1; done
serve kube-controller-manager --kubeconfig=controllers.kubeconfig --authentication-kubeconfig=controllers.kubeconfig \
  --authorization-kubeconfig=controllers.kubeconfig --service-account-private-key-file="$STATE/pki/sa.key" \
  --root-ca-file="$STATE/pki/apiserver.crt" --use-service-account-credentials=true --leader-elect=false \
  --kube-api-qps=500 --kube-api-burst=1000 --cert-dir="$STATE/pki"
serve kube-scheduler --kubeconfig=scheduler.kubeconfig --authentication-kubeconfig=scheduler.kubeconfig \
  --authorization-kubeconfig=scheduler.kubeconfig --leader-elect=false --kube-api-qps=500 --kube-api-burst=1000 \
  --cert-dir="$STATE/pki"
serve kubelet --config=kubelet.yaml --kubeconfig=kubelet.kubeconfig --hostname-override="$NODE" \
  --node-ip="$NODE_IP" --root-dir=/var/lib/kubelet --cert-dir="$STATE/pki"
serve kube-proxy --config=proxy.yaml
case $NETPOL in
  on) serve netpol --kubeconfig=netpol.kubeconfig ;;
  strict) serve netpol --kubeconfig=netpol.kubeconfig -strict ;;
esac
wait

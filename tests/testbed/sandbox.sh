#!/bin/sh
# Run a command in a network and mount namespace of its own, where it may have a mesh beside others.
# Where that is not allowed it runs as it is, and what it starts says what it lacks.
set -eu

if ! unshare --net --mount true 2>/dev/null; then
  exec "$@"
fi
# A copy of /etc, not a mount over /etc/netns: that would go when somebody outside removes the
# directory, and the real one would lie open.
exec unshare --net --mount sh -euc '
  mount -t tmpfs tmpfs /run
  cp -a /etc /run/etc
  rm -rf /run/etc/netns
  mount --bind /run/etc /etc
  ip link set lo up
  exec "$@"
' sandbox "$@"

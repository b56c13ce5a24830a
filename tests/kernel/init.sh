#!/bin/sh
# The first process of a kernel that `cargo xtask boot` has started. As root it makes what tests/kernel asks for; then it
# runs the program as nobody with the capabilities of the supervisor and no other, and says how that ended.
set -e
trap 'echo b >/proc/sysrq-trigger' EXIT # where nothing restarts, the emulator ends
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
insmod /veth.ko*
# As tests/kernel/namespace.rs, which needs CAP_SYS_ADMIN to do it.
ip link add name inside index 2 type veth peer name far index 3
export LB_TESTS_NAMESPACE=prepared

capabilities=-all,+bpf,+net_admin,+perfmon
code=0
setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
    --inh-caps $capabilities --ambient-caps $capabilities --bounding-set $capabilities \
    /program "$@" >/dev/ttyS1 2>&1 || code=$?
# The kernel waits until a port has sent everything when nobody has it open any more.
echo "ended with exit code $code" >/dev/ttyS1

#!/bin/bash
# backends.sh - the table of tests for devices (src/device/tests/backend_test.c) against daemons of other
# processes, each by its UAPI socket: qanat-wg and wireguard-go.
#
#   namespace D:  the daemon with its interface, the test beside it
. "$(dirname "$0")/../e2e/lib.sh"

. "$(dirname "$0")/table.sh"
need wireguard-go "$table"
ns_add D

for daemon in qanat-wg wireguard-go; do
	dev=kd$id
	check "$daemon starts" ns D "$daemon" "$dev"
	ns D timeout 100 "$table" "uapi:/var/run/wireguard/$dev.sock" >"$work/$daemon.log" 2>&1
	table_rows "$daemon by UAPI" "$work/$daemon.log"
	ip -n "q${id}D" link del "$dev" # the daemon ends with its interface
	check "$daemon has ended" wait_for 10 sh -c "! [ -e /var/run/wireguard/$dev.sock ]"
done
finish

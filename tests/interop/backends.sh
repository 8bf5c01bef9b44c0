#!/bin/bash
# backends.sh - the table of tests for devices (src/device/tests/backend_test.c) against daemons of other
# processes, each by its UAPI socket: qanat-wg and wireguard-go.  Then a gateway on a daemon's device.
#
#   namespace D:  the daemon with its interface, the test or the gateway beside it
. "$(dirname "$0")/../e2e/lib.sh"

. "$(dirname "$0")/table.sh"
need wireguard-go wg jq "$table" qanat-gateway qanat
ns_add D

for daemon in qanat-wg wireguard-go; do
	dev=kd$id
	check "$daemon starts" ns D "$daemon" "$dev"
	ns D timeout 100 "$table" "uapi:/var/run/wireguard/$dev.sock" >"$work/$daemon.log" 2>&1
	table_rows "$daemon by UAPI" "$work/$daemon.log"
	ip -n "q${id}D" link del "$dev" # the daemon ends with its interface
	check "$daemon has ended" wait_for 10 sh -c "! [ -e /var/run/wireguard/$dev.sock ]"
done

# ---- a gateway whose packets another daemon carries ----
dev=kg$id socket=$work/control.sock
core() { ns D qanat --socket "$socket" core "$@" --json 2>&1; }
gateway_start() {
	ns_spawn D gateway.log qanat-gateway --state "$work/state" --socket "$socket" --interface "$dev" --network 10.66.0.0/24 \
		--network6 none --endpoint 192.0.2.1 --backend "${1:-uapi:/var/run/wireguard/$dev.sock}"
	gateway=$spawned
	wait_for 10 test -S "$socket"
}
check "wireguard-go starts for a gateway" ns D wireguard-go "$dev"
check "the gateway starts on its device" gateway_start
check_has "it says what it runs on" "$(cat "$work/gateway.log")" 'backend.*uapi'
check_has "a client is added" "$(core add_client client_name=one)" '"success": *true'
check_eq "and is a peer of the daemon" 1 "$(ns D wg show "$dev" peers | wc -l)"
check_has "limits are refused by name" "$(core set_client_limits client_name=one quota=1M)" 'limits need the engine'
check_has "and so is why" "$(core client_why client_name=one)" 'client_why needs the engine'
kill -USR2 $gateway
check "it restarts in place" wait_for 10 sh -c "[ \$(grep -c gateway.ready '$work/gateway.log') = 2 ]"
check_eq "the client is there" 1 "$(ns D wg show "$dev" peers | wc -l)"
check_has "a client is removed" "$(core remove_client client_name=one)" '"success": *true'
check_eq "the daemon has lost the peer" 0 "$(ns D wg show "$dev" peers | wc -l)"
core add_client client_name=two >/dev/null
stop $gateway
check_eq "it stops" 0 "$stopped"
check_eq "and leaves neither client nor key" " (none)" "$(ns D wg show "$dev" peers) $(ns D wg show "$dev" private-key)"
check_eq "nor address" "" "$(ip -n "q${id}D" -o addr show dev "$dev" scope global)"
ns D timeout 20 qanat-gateway --state "$work/other" --socket "$socket" --interface other \
	--backend "uapi:/var/run/wireguard/$dev.sock" >"$work/other.log" 2>&1
check_eq "a gateway for another interface refuses" 1 $?
check_has "and says why" "$(cat "$work/other.log")" "the daemon's interface is .*$dev.*but --interface is other"
ip -n "q${id}D" link del "$dev"
finish
